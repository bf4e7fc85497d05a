//! One witness asked for its signature under one checkpoint (C2SP tlog-witness). Nothing it says is believed but a signature that
//! verifies.

use bytes::Bytes;

use super::recorder::Audit;
use super::witnesses::Witness;
use super::witnessing::PATIENCE;
use crate::egress::ask::Answer;
use crate::egress::client::EgressClient;
use crate::ids::TenantId;
use crate::tlog::note::Note;
use crate::tlog::proof::AddCheckpoint;

/// Questions to one witness in a round: the second begins at the size that it named.
const QUESTIONS: u32 = 2;

/// Why a witness did not sign. A closed list: the names are labels of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No answer in time, none that we may ask for, or a fault on its side.
    Away,
    /// It refuses: it does not know the log, or saw another tree of it.
    Refused,
    /// It says that it signed more than the log holds, or does not keep to one size.
    OtherSize,
    /// What it gave is not its signature under this checkpoint.
    Wrong,
    /// It could not be asked: the proof for it could not be read here.
    Unasked,
}

impl Fault {
    /// The stable word.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Refused => "refused",
            Self::OtherSize => "other_size",
            Self::Wrong => "wrong",
            Self::Unasked => "unasked",
        }
    }
}

/// The signature line of a witness under the checkpoint of a tree of `size` leaves. `old`: what it is believed to have signed last.
pub(super) async fn ask(
    audit: &Audit,
    client: &EgressClient,
    tenant: TenantId,
    witness: &Witness,
    mut old: u64,
    (checkpoint, size): (&Note, u64),
) -> Result<String, Fault> {
    let mut url = witness.url.clone();
    url.path_segments_mut().map_err(|()| Fault::Away)?.pop_if_empty().push("add-checkpoint");
    for _ in 0..QUESTIONS {
        let path = audit.consistency(tenant, old, size).await.map_err(|_| Fault::Unasked)?;
        let question = AddCheckpoint { old, path, checkpoint: checkpoint.clone() }.to_string();
        let answer = client.ask(&url, Bytes::from(question), PATIENCE).await.ok_or(Fault::Away)?;
        match answer.status {
            200 => return signature(witness, checkpoint, &answer).ok_or(Fault::Wrong),
            409 => old = named_size(&answer).filter(|named| *named <= size && *named != old).ok_or(Fault::OtherSize)?,
            400..=499 => return Err(Fault::Refused),
            _ => return Err(Fault::Away),
        }
    }
    Err(Fault::OtherSize)
}

/// The witness's own line out of those that it answered.
fn signature(witness: &Witness, checkpoint: &Note, answer: &Answer) -> Option<String> {
    let is_its_own = |line: &&str| {
        let mut alone = Note::unsigned(checkpoint.text());
        alone.as_mut().is_some_and(|note| note.add(line).is_ok() && note.verify(&witness.key).is_ok())
    };
    std::str::from_utf8(&answer.body).ok()?.lines().find(is_its_own).map(str::to_owned)
}

/// The size that a witness names in a 409.
fn named_size(answer: &Answer) -> Option<u64> {
    std::str::from_utf8(&answer.body).ok()?.trim_end_matches('\n').parse().ok()
}

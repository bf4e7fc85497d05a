//! Has the newest checkpoint cosigned (C2SP tlog-witness) and shows it when enough witnesses have signed. Runs beside the
//! sequencer, which never waits for it, and with no transaction open while somebody is asked. Killed at any instant: what was
//! signed and not stored is asked for again, and a witness signs the same tree twice at worst.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::cosigning::{self, Fault};
use super::recorder::Audit;
use super::witnesses::{Witness, Witnesses};
use crate::egress::client::EgressClient;
use crate::store::StoreError;
use crate::store::audit_checkpoints::MadeCheckpoint;
use crate::store::lanes::OwnedLane;
use crate::telemetry;
use crate::tlog::note::Note;

/// The least time between two rounds: each costs every witness a write to its disk.
const PACE: Duration = Duration::from_secs(1);
/// How long a witness has for all of its answers in a round.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How much longer the others have once enough have signed.
const GRACE: Duration = Duration::from_millis(500);
/// A witness that fails is left alone for this at first, twice as long each time, and for this at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Whom to ask, and through what.
#[derive(Debug, Clone)]
pub struct Witnessing {
    /// Who cosigns.
    pub witnesses: Arc<Witnesses>,
    /// Reaches them under the address guard.
    pub client: EgressClient,
}

/// What this process remembers of a witness. Nothing depends on it but the number of questions.
struct Known {
    /// What it signed last.
    size: u64,
    fault: Option<Fault>,
    pause: Duration,
    /// Not asked before.
    rested_at: Instant,
}

impl Known {
    fn new() -> Self {
        Self { size: 0, fault: None, pause: PAUSE, rested_at: Instant::now() }
    }

    fn learn(&mut self, witness: &str, size: u64, outcome: Option<Fault>) {
        match (outcome, self.fault) {
            (None, Some(_)) => tracing::info!(witness, "the witness signs again"),
            (Some(fault), before) if before != Some(fault) => {
                tracing::warn!(witness, fault = fault.as_str(), "the witness did not sign");
            }
            _ => {}
        }
        metrics::counter!(telemetry::AUDIT_COSIGNATURES, "outcome" => outcome.map_or("signed", Fault::as_str))
            .increment(1);
        (self.fault, self.pause) = match outcome {
            None => (None, PAUSE),
            Some(fault) => {
                self.rested_at = Instant::now() + self.pause;
                (Some(fault), (self.pause * 2).min(LONGEST_PAUSE))
            }
        };
        if outcome.is_none() {
            self.size = size;
        }
    }
}

/// How a round ended.
enum Round {
    /// The newest checkpoint is shown.
    Shown,
    /// It lacks signatures: so many are there.
    Short(usize),
    /// The lane is another's now.
    Lost,
}

/// Works until it is dropped. `grown` tells of new checkpoints.
pub(super) async fn run(audit: &Audit, by: &Witnessing, lane: OwnedLane, grown: &Notify) {
    let mut known: Vec<Known> = by.witnesses.all().iter().map(|_| Known::new()).collect();
    let mut is_short = false;
    loop {
        let round = audit.round(by, lane, &mut known).await;
        match &round {
            Ok(Round::Short(signed)) if !is_short => {
                let quorum = by.witnesses.quorum();
                tracing::error!(signed, quorum, "the audit log lacks witnesses: no newer checkpoint is shown");
            }
            Ok(Round::Shown) if is_short => tracing::info!("the audit log's checkpoints are witnessed again"),
            // The sequencer beside this says why.
            _ => {}
        }
        is_short = match round {
            Ok(Round::Shown) => false,
            Ok(Round::Short(_)) => true,
            Ok(Round::Lost) => std::future::pending().await,
            Err(_) => is_short,
        };
        tokio::time::sleep(PACE).await;
        if matches!(round, Ok(Round::Shown)) {
            grown.notified().await;
        }
    }
}

impl Audit {
    /// Asks every witness that has not signed the newest checkpoint yet, and shows it as soon as enough of them have.
    async fn round(&self, by: &Witnessing, lane: OwnedLane, known: &mut [Known]) -> Result<Round, StoreError> {
        let newest = self.inner.store.newest_audit_checkpoint(lane.tenant).await?;
        let Some(newest) = newest.filter(|newest| !newest.published) else { return Ok(Round::Shown) };
        let (Ok(asked), size) = (Note::parse(&newest.note), newest.size.unsigned_abs()) else {
            // The sequencer refuses to go on from it, and says so.
            return Ok(Round::Short(0));
        };
        let (all, quorum, began) = (by.witnesses.all(), by.witnesses.quorum(), Instant::now());
        let has_signed = |witness: &Witness| asked.verify(&witness.key).is_ok();
        let due =
            |at: &usize| all.get(*at).zip(known.get(*at)).is_some_and(|(w, k)| !has_signed(w) && k.rested_at <= began);
        let mut unheard: BTreeSet<usize> = (0..all.len()).filter(due).collect();
        let question = |at: usize| {
            let (witness, old, asked) = (all.get(at), known.get(at).map_or(0, |known| known.size), &asked);
            async move {
                let Some(witness) = witness else { return (at, Err(Fault::Unasked)) };
                (at, cosigning::ask(self, &by.client, lane.tenant, witness, old, (asked, size)).await)
            }
        };
        let mut asking: FuturesUnordered<_> = unheard.iter().map(|at| question(*at)).collect();
        let mut signed = all.iter().filter(|witness| has_signed(witness)).count();
        let (mut note, mut kept, mut is_shown) = (asked.clone(), signed, false);
        let (mut end, mut heard) = (began + PATIENCE, Vec::new());
        loop {
            if signed >= quorum && !is_shown {
                (is_shown, kept, end) = (true, signed, end.min(Instant::now() + GRACE));
                if !self.keep(lane, &newest, &note, true).await? {
                    return Ok(Round::Lost);
                }
            }
            let Ok(Some((at, answer))) = timeout_at(end, asking.next()).await else { break };
            unheard.remove(&at);
            let fault = answer.and_then(|line| note.add(&line).map_err(|_| Fault::Wrong)).err();
            signed += usize::from(fault.is_none());
            heard.push((at, fault));
        }
        drop(asking);
        heard.extend(unheard.into_iter().map(|at| (at, Some(Fault::Away))));
        for (at, fault) in heard {
            if let Some((known, witness)) = known.get_mut(at).zip(all.get(at)) {
                known.learn(witness.key.name(), size, fault);
            }
        }
        if signed > kept && !self.keep(lane, &newest, &note, is_shown).await? {
            return Ok(Round::Lost);
        }
        Ok(if is_shown { Round::Shown } else { Round::Short(signed) })
    }

    /// Stores a note with more signatures. False: the lane is another's.
    async fn keep(&self, lane: OwnedLane, made: &MadeCheckpoint, note: &Note, shown: bool) -> Result<bool, StoreError> {
        self.inner.store.cosign_audit_checkpoint(lane, made.size, &note.to_string(), shown).await
    }
}

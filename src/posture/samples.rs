//! Rows drawn at random: whether they are envelopes, and whether they open in their place and with the keys of now. What is opened is
//! dropped at once.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{Posture, PostureError, TENANT};
use crate::crypto::context::Context;
use crate::crypto::{envelope, random};
use crate::ids::{ContactId, EventId, MediaId, MessageId};
use crate::keyring::places;
use crate::store::posture::{Sampled, Sampling};

/// Points in time that are drawn for each column.
const POINTS: u32 = 16;
/// Rows that are looked at from each.
const ROWS: i64 = 3;

/// What the rows were like.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    /// Columns of which there were rows.
    pub(super) columns: Vec<&'static str>,
    /// Rows that were looked at.
    pub(super) rows: usize,
    /// Of these, those that opened.
    pub(super) opened: usize,
    /// Those whose key was destroyed, as of people who were forgotten.
    pub(super) forgotten: usize,
    /// Those that are no envelopes, or that no key opens where they lie: in which column, and the row.
    pub(super) faults: Vec<(&'static str, Uuid)>,
}

/// Draws rows since `since`. What is kept for longer is met from its beginning too.
pub(super) async fn draw(posture: &Posture, since: Date, now: OffsetDateTime) -> Result<Samples, PostureError> {
    let mut samples = Samples::default();
    for what in Sampling::ALL {
        let mut seen: Vec<Uuid> = Vec::new();
        for at in points(since, now) {
            let after = EventId::lowest_of(at).uuid();
            for row in posture.store.sample(TENANT, what, (at.date(), after), ROWS).await? {
                if !seen.contains(&row.row) {
                    seen.push(row.row);
                    look(posture, what, row, &mut samples).await?;
                }
            }
        }
        if !seen.is_empty() {
            samples.columns.push(what.column());
        }
    }
    Ok(samples)
}

/// The beginning of all, and times between `since` and now.
fn points(since: Date, now: OffsetDateTime) -> impl Iterator<Item = OffsetDateTime> {
    let begin = since.midnight().assume_utc();
    let seconds = (now - begin).whole_seconds().max(1).unsigned_abs();
    let drawn = (1..POINTS).map(move |_| {
        let offset = u64::from_be_bytes(random::bytes()) % seconds;
        begin + std::time::Duration::from_secs(offset)
    });
    std::iter::once(OffsetDateTime::UNIX_EPOCH).chain(drawn)
}

async fn look(posture: &Posture, what: Sampling, row: Sampled, samples: &mut Samples) -> Result<(), PostureError> {
    samples.rows += 1;
    let sealed = envelope::Sealed::from_stored(row.sealed);
    let Some(dek) = sealed.dek_id() else {
        samples.faults.push((what.column(), row.row));
        return Ok(());
    };
    match posture.keyring.whatever_opens(TENANT, [dek]).await?.get(&dek) {
        None => samples.forgotten += 1,
        Some(key) if envelope::open(&key.dek, &place(what, row.row, key.contact), &sealed).is_ok() => {
            samples.opened += 1;
        }
        Some(_) => samples.faults.push((what.column(), row.row)),
    }
    Ok(())
}

/// Where a row belongs, whose key is of this contact: a value that lies with somebody else does not open.
fn place(what: Sampling, row: Uuid, contact: Uuid) -> Context {
    let somebody = (!contact.is_nil()).then(|| ContactId::from_uuid(contact));
    match what {
        Sampling::Events => places::event_payload(TENANT, EventId::from_uuid(row), somebody),
        Sampling::Messages => places::message_request(TENANT, MessageId::from_uuid(row), ContactId::from_uuid(contact)),
        Sampling::Contacts => places::contact_profile(TENANT, ContactId::from_uuid(row)),
        Sampling::Media => places::media_details(TENANT, MediaId::from_uuid(row), somebody),
    }
}

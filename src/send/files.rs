//! Files in messages: an application names a file of ours by its id, and Meta is told its own. Before a message goes on the wire its
//! files are brought to Meta, once for each channel; a message that waits for one is not marked as being on the wire meanwhile, so
//! that nobody who is killed then leaves a doubt.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration as Pause;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use memchr::memmem;
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::Sender;
use super::check::{Fault, escape};
use super::turns::Ready;
use crate::crypto::envelope;
use crate::domain::channel::Channel;
use crate::domain::file::FileKind;
use crate::domain::keeping::HouseRules;
use crate::ids::{ChannelId, MediaId, TenantId};
use crate::keyring::{KeyringError, places};
use crate::store::StoreError;
use crate::store::uploads::Sendable;

/// An id that Meta forgets sooner is not used any more.
const MARGIN: Duration = Duration::DAY;
/// Meta's code for a file that cannot be sent.
pub(super) const NO_FILE: i32 = 131_053;

/// Brings files to Meta. The room of files does, which is a neighbour.
pub trait Uploads: std::fmt::Debug + Send + Sync {
    /// Uploads a file through a channel and records Meta's id.
    fn upload(&self, channel: Arc<Channel>, media: MediaId) -> BoxFuture<'static, Result<(), NotUploaded>>;
}

/// Why a file is not at Meta.
#[derive(Debug, Clone)]
pub enum NotUploaded {
    /// There is no such file any more.
    Gone,
    /// Meta does not take it.
    Refused {
        /// Meta's code.
        code: Option<i32>,
        /// Its answer.
        answer: Bytes,
    },
    /// It may be tried again.
    Later {
        /// Not before this long.
        wait: Option<Pause>,
    },
}

/// Why nobody knows where files are.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
}

/// Through which channel a message goes, and when.
type At = (ChannelId, OffsetDateTime);

/// A file of ours that a message names.
struct Named {
    pointer: String,
    kind: FileKind,
    media: MediaId,
}

/// The file of ours that a member names. Meta's ids are numbers, and ours never are.
fn file_in(name: &str, value: &Value) -> Option<(FileKind, MediaId)> {
    let id = value.get("id")?.as_str()?;
    Some((FileKind::parse(name)?, MediaId::from_uuid(Uuid::try_parse(id).ok()?)))
}

/// The files of ours in a message.
fn named(message: &Value, at: &str, found: &mut Vec<Named>) {
    match message {
        Value::Object(members) => named_in(members, at, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                named(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn named_in(members: &Map<String, Value>, at: &str, found: &mut Vec<Named>) {
    for (name, value) in members {
        let at = format!("{at}/{}", escape(name));
        match file_in(name, value) {
            Some((kind, media)) => found.push(Named { pointer: format!("{at}/id"), kind, media }),
            None => named(value, &at, found),
        }
    }
}

/// Puts Meta's ids in the places of ours.
fn put_in(message: &mut Value, known: &HashMap<MediaId, String>) {
    match message {
        Value::Object(members) => {
            for (name, value) in members {
                let meta_id = file_in(name, value).and_then(|(_, media)| known.get(&media));
                match (meta_id, value.get_mut("id")) {
                    (Some(meta_id), Some(id)) => *id = Value::from(meta_id.as_str()),
                    _ => put_in(value, known),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_in(item, known)),
        _ => {}
    }
}

/// Whether a message may name a file, at the cost of one look at its text. It was written by us, without spaces.
fn may_name_files(body: &[u8]) -> bool {
    memmem::find(body, br#""id":""#).is_some()
}

/// What is wrong with a file of a message, if anything is.
fn objection(named: &Named, file: Option<&Sendable>, channel: ChannelId) -> Option<String> {
    let file = file.filter(|file| file.is_stored && file.channel.is_none_or(|only| only == channel));
    let Some(file) = file else {
        return Some("is no file that was handed over to be sent through this channel".to_owned());
    };
    let fits = file.kind.is_some_and(|kind| match named.kind {
        // Meta takes pictures, films and speech as documents too.
        FileKind::Document => kind != FileKind::Sticker,
        wanted => kind == wanted,
    });
    let kind = file.kind.map_or("none that Meta takes", FileKind::as_str);
    (!fits).then(|| format!("is a file of another kind: {kind}"))
}

/// What is wrong with sending a file at that time: it is not there any more. Its day goes as a whole, in the night after its last.
fn too_late(media: MediaId, house: &HouseRules, at: OffsetDateTime) -> Option<String> {
    let dropped_on = house.dropped_on(media.day())?;
    let says = || format!("goes on {dropped_on}, as retention.content_days says, before the message is sent");
    (at.date() >= dropped_on).then(says)
}

/// Messages whose files are known at Meta, and those that wait for files.
pub(super) struct Filled {
    pub(super) ready: Vec<Ready>,
    /// Each with the first file that is not there.
    pub(super) waiting: Vec<(Ready, MediaId)>,
}

impl Sender {
    /// What is wrong with the files that these messages name, each with the channel that it goes through, and when it does: in their order, by
    /// places in the message.
    pub(super) async fn file_faults(
        &self,
        tenant: TenantId,
        messages: &[(At, &Map<String, Value>)],
    ) -> Result<Vec<Vec<Fault>>, StoreError> {
        let names = |(at, message): &(At, &Map<String, Value>)| {
            let mut found = Vec::new();
            named_in(message, "", &mut found);
            (*at, found)
        };
        let all: Vec<(At, Vec<Named>)> = messages.iter().map(names).collect();
        let ids: Vec<Uuid> = all.iter().flat_map(|(_, found)| found).map(|one| one.media.uuid()).collect();
        if ids.is_empty() {
            return Ok(all.iter().map(|_| Vec::new()).collect());
        }
        let files = self.store.sendable_media(tenant, &ids).await?;
        let house = self.directory.snapshot().house;
        let faults = |((channel, at), found): &(At, Vec<Named>)| {
            let fault = |one: &Named| {
                let file = files.iter().find(|file| file.media == one.media);
                let detail = objection(one, file, *channel).or_else(|| too_late(one.media, &house, *at))?;
                Some(Fault { pointer: one.pointer.clone(), detail: detail.into() })
            };
            found.iter().filter_map(fault).collect()
        };
        Ok(all.iter().map(faults).collect())
    }

    /// Puts Meta's ids into messages that name files of ours.
    pub(super) async fn filled(&self, channel: &Channel, all: Vec<Ready>) -> Result<Filled, (Vec<Ready>, LookError)> {
        let read = |ready: &Ready| {
            let message: Value = may_name_files(&ready.body).then(|| serde_json::from_slice(&ready.body).ok())??;
            let mut found = Vec::new();
            named(&message, "", &mut found);
            (!found.is_empty()).then_some((message, found))
        };
        let read: Vec<Option<(Value, Vec<Named>)>> = all.iter().map(read).collect();
        let ids: Vec<Uuid> = read.iter().flatten().flat_map(|(_, found)| found).map(|one| one.media.uuid()).collect();
        if ids.is_empty() {
            return Ok(Filled { ready: all, waiting: Vec::new() });
        }
        let known = match self.known_at_meta(channel, &ids).await {
            Ok(known) => known,
            Err(error) => return Err((all, error)),
        };
        let mut filled = Filled { ready: Vec::with_capacity(all.len()), waiting: Vec::new() };
        for (ready, read) in all.into_iter().zip(read) {
            let Some((mut message, found)) = read else {
                filled.ready.push(ready);
                continue;
            };
            match found.iter().find(|one| !known.contains_key(&one.media)) {
                Some(missing) => filled.waiting.push((ready, missing.media)),
                None => {
                    put_in(&mut message, &known);
                    filled.ready.push(Ready { body: message.to_string().into_bytes(), ..ready });
                }
            }
        }
        Ok(filled)
    }

    async fn known_at_meta(&self, channel: &Channel, ids: &[Uuid]) -> Result<HashMap<MediaId, String>, LookError> {
        let (tenant, until) = (channel.tenant, self.clock.now() + MARGIN);
        let rows = self.store.media_at_meta((tenant, channel.id), ids, until).await?;
        let keys = self.keyring.for_opening(tenant, rows.iter().filter_map(|(_, sealed)| sealed.dek_id())).await?;
        let opened = rows.into_iter().filter_map(|(media, sealed)| {
            let key = keys.get(&sealed.dek_id()?)?;
            let opened = envelope::open(&key.dek, &places::media_at_meta(tenant, media, channel.id), &sealed).ok()?;
            Some((media, String::from_utf8(opened.to_vec()).ok()?))
        });
        Ok(opened.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "01930000-0000-7000-8000-000000000001";

    fn pointers(message: &Value) -> Vec<String> {
        let mut found = Vec::new();
        named(message, "", &mut found);
        found.into_iter().map(|one| one.pointer).collect()
    }

    #[test]
    fn files_are_found_wherever_a_message_names_them_and_metas_own_ids_are_left_alone() {
        let header = json!({ "type": "image", "image": { "id": ID } });
        let message = json!({ "type": "template", "context": { "id": ID },
            "template": { "components": [{ "type": "header", "parameters": [header] }] } });
        assert_eq!(pointers(&message), ["/template/components/0/parameters/0/image/id"]);
        for other in [
            json!({ "image": { "id": "881234" } }),
            json!({ "image": { "link": "https://x.example" } }),
            json!({ "interactive": { "action": { "buttons": [{ "reply": { "id": ID } }] } } }),
        ] {
            assert!(pointers(&other).is_empty(), "{other}");
        }
    }

    #[test]
    fn metas_id_takes_the_place_of_ours() {
        let mut message = json!({ "image": { "id": ID, "caption": "x" }, "to": ID });
        assert!(may_name_files(message.to_string().as_bytes()));
        let media = MediaId::from_uuid(ID.parse().unwrap());
        put_in(&mut message, &HashMap::from([(media, "881".to_owned())]));
        assert_eq!(message, json!({ "image": { "id": "881", "caption": "x" }, "to": ID }));
    }

    #[test]
    fn a_file_is_sent_as_what_it_is_and_where_it_belongs() {
        let channel = ChannelId::from_uuid(Uuid::from_u128(1));
        let media = MediaId::from_uuid(Uuid::from_u128(2));
        let named = |kind| Named { pointer: String::new(), kind, media };
        let file = |kind, only, is_stored| Sendable { media, channel: only, kind: Some(kind), is_stored };
        let image = file(FileKind::Image, None, true);
        assert!(objection(&named(FileKind::Image), Some(&image), channel).is_none());
        assert!(objection(&named(FileKind::Document), Some(&image), channel).is_none());
        assert!(objection(&named(FileKind::Video), Some(&image), channel).is_some());
        assert!(objection(&named(FileKind::Image), None, channel).is_some());
        assert!(objection(&named(FileKind::Image), Some(&file(FileKind::Image, None, false)), channel).is_some());
        let elsewhere = Some(ChannelId::from_uuid(Uuid::from_u128(9)));
        assert!(objection(&named(FileKind::Image), Some(&file(FileKind::Image, elsewhere, true)), channel).is_some());
    }
}

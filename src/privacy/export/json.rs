//! `data.json`: all of it, for programs.

use data_encoding::BASE64;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::files::FileIn;
use super::gather::{Opened, Said};
use super::history::Looked;
use crate::domain::event::Status;
use crate::domain::message;
use crate::store::events::StatusRow;

/// Content: JSON as it is, other bytes in base64.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// True: it was removed before, or cannot be opened.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    gone: bool,
}

impl<'a> Whole<'a> {
    fn of(content: &'a Opened) -> Self {
        let Some(bytes) = content else { return Self { json: None, base64: None, gone: true } };
        let json = serde_json::from_slice::<&RawValue>(bytes).ok();
        let base64 = json.is_none().then(|| BASE64.encode(bytes));
        Self { json, base64, gone: false }
    }
}

#[derive(Serialize)]
struct In<'a> {
    direction: &'static str,
    id: Uuid,
    #[serde(rename = "type")]
    event_type: &'a str,
    channel_id: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    content: Whole<'a>,
}

#[derive(Serialize)]
struct Out<'a> {
    direction: &'static str,
    id: Uuid,
    kind: &'a str,
    channel_id: Uuid,
    state: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    statuses: Vec<Told>,
    content: Whole<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Whole<'a>>,
}

#[derive(Serialize)]
struct Told {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<i32>,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
}

impl From<&StatusRow> for Told {
    fn from(row: &StatusRow) -> Self {
        let status = Status::from_rank(row.rank).as_str();
        Self { status, error_code: row.error_code, occurred_at: row.occurred_at }
    }
}

/// How far a message has come.
pub(super) fn state(state: &str, statuses: &[StatusRow]) -> &'static str {
    message::state(state, statuses.iter().map(|status| Status::from_rank(status.rank)))
}

/// One entry of the conversation.
pub(super) fn said(one: &Said) -> Vec<u8> {
    let written = match one {
        Said::In { row, content } => serde_json::to_vec(&In {
            direction: "in",
            id: row.event_id,
            event_type: &row.event_type,
            channel_id: row.channel_id,
            occurred_at: row.occurred_at,
            received_at: row.received_at,
            content: Whole::of(content),
        }),
        Said::Out { row, request, answer, statuses } => serde_json::to_vec(&Out {
            direction: "out",
            id: row.message_id,
            kind: &row.kind,
            channel_id: row.channel_id,
            state: state(&row.state, statuses),
            created_at: row.created_at,
            statuses: statuses.iter().map(Told::from).collect(),
            content: Whole::of(request),
            answer: answer.is_some().then(|| Whole::of(answer)),
        }),
    };
    // Texts, numbers and JSON that was read: all of it serialises.
    written.unwrap_or_default()
}

/// One file.
pub(super) fn file(one: &FileIn) -> Vec<u8> {
    serde_json::to_vec(one).unwrap_or_default()
}

/// One entry of the audit log.
pub(super) fn looked(one: &Looked) -> Vec<u8> {
    serde_json::to_vec(one).unwrap_or_default()
}

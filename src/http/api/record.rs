//! `/v1/privacy/record`: the record of processing activities (Art. 30 GDPR). Docs: `docs/privacy.md`.

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::posture::measured;
use super::problem::Problem;
use super::query::Params;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Audit};
use crate::posture::{Desk, Record, Said, Section};

const MARKDOWN: &str = "text/markdown";
const ANSWER: HeaderValue = HeaderValue::from_static("text/markdown; charset=utf-8");

/// A line of the record.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordEntry)]
pub(super) struct EntryJson {
    /// Of what.
    name: String,
    /// What is said of it, for people.
    says: String,
}

/// A part of the record.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordSection)]
pub(super) struct SectionJson {
    /// For people.
    title: &'static str,
    /// Where the law asks for it, such as `Art. 30(1)(c)`.
    article: &'static str,
    entries: Vec<EntryJson>,
}

/// The record of processing activities.
#[derive(Serialize, ToSchema)]
#[schema(as = ProcessingRecord)]
pub(super) struct RecordJson {
    /// When it was written: configuration and settings are of then.
    #[schema(format = DateTime)]
    made_at: String,
    /// When the measures and the age of the oldest data were looked at.
    #[schema(format = DateTime)]
    measured_at: String,
    /// Version of the gateway.
    release: &'static str,
    /// In the order of the law.
    sections: Vec<SectionJson>,
}

impl From<Record> for RecordJson {
    fn from(Record { made_at, measured_at, release, sections }: Record) -> Self {
        let entry = |Said { name, says }: Said| EntryJson { name, says };
        let section = |Section { title, article, entries }: Section| {
            let entries = entries.into_iter().map(entry).collect();
            SectionJson { title, article, entries }
        };
        Self { made_at, measured_at, release, sections: sections.into_iter().map(section).collect() }
    }
}

/// Whether somebody asks for Markdown by name, and not for JSON. Whatever else is asked for, JSON is what there is.
fn wants_markdown(headers: &HeaderMap) -> bool {
    let named = |wanted: &str| {
        let asked = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        asked.flat_map(|value| value.split(',')).any(|range| {
            let kind = range.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case(wanted)
        })
    };
    named(MARKDOWN) && !named("application/json")
}

/// The record of processing activities: who answers for it, what for, whose data and which, who is shown them, where they go, for how long, and
/// the measures.
///
/// Written from the configuration in force and the settings as they are now; the measures are those of `/v1/posture`. What only people know stands in
/// `[privacy]` of the configuration, and what is not there is said to be missing. With `Accept: text/markdown` it is Markdown, for people.
#[utoipa::path(
    get, path = "/v1/privacy/record", tag = "Privacy", operation_id = "show_record_of_processing",
    responses(
        (status = 200, description = "The record.", content(
            (RecordJson = "application/json"),
            (String = "text/markdown"),
        )),
        (status = 409, description = "`posture_waiting`: the first measurement is still under way."),
    ),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(desk): State<Desk>,
    State(audit): State<Audit>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.finish()?;
    let measured = measured(&who, &errand, (&desk, &audit), (Action::RecordTold, "record")).await?;
    let record = desk.posture().record(&measured);
    if wants_markdown(&headers) {
        return Ok(([(CONTENT_TYPE, ANSWER)], record.markdown()).into_response());
    }
    Ok(Json(RecordJson::from(record)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_for_those_who_name_it_and_json_for_everybody_else() {
        let asked = |accept: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            wants_markdown(&headers)
        };
        assert!(asked(&["text/markdown"]) && asked(&["text/html, Text/Markdown;q=0.5"]));
        for accept in [&[][..], &["*/*"], &["text/*"], &["text/markdown, application/json"], &["nonsense;;,"]] {
            assert!(!asked(accept), "{accept:?}");
        }
    }
}

//! Reads query parameters: each at most once, unknown ones are faults, and all faults are told together.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::page::{Cursor, DEFAULT_LIMIT, MAX_LIMIT};
use super::problem::{Code, Fault, Problem};

/// The parameters of one request, as far as they were not yet taken.
#[derive(Debug, Default)]
pub(super) struct Params {
    left: Vec<(String, String)>,
    faults: Vec<Fault>,
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    pub(super) fn of(query: &str) -> Self {
        let left = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { left, faults: Vec::new() }
    }

    /// Notes a fault of a parameter.
    pub(super) fn fault(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.faults.push(Fault { pointer: format!("?{name}"), detail: detail.into(), code: code.to_owned() });
    }

    /// Puts a parameter in the place of what was given by this name.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.left.retain(|(key, _)| key != name);
        self.left.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a parameter.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let (found, left) = std::mem::take(&mut self.left).into_iter().partition(|(key, _)| key == name);
        self.left = left;
        let mut found: Vec<(String, String)> = found;
        if found.len() > 1 {
            self.fault(name, "repeated", "given more than once");
        }
        found.pop().map(|(_, value)| value)
    }

    /// Takes `limit`: 1 to 200, 50 when absent.
    pub(super) fn limit(&mut self) -> usize {
        let Some(text) = self.take("limit") else { return DEFAULT_LIMIT };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.unwrap_or_else(|| {
            self.fault("limit", "range", format!("a number from 1 to {MAX_LIMIT}"));
            DEFAULT_LIMIT
        })
    }

    /// Takes a word: 1 to 512 characters.
    pub(super) fn word(&mut self, name: &str) -> Option<String> {
        let text = self.take(name)?;
        if text.is_empty() || text.len() > 512 || text.contains('\0') {
            self.fault(name, "length", "1 to 512 characters");
        }
        Some(text)
    }

    /// Takes a time.
    pub(super) fn time(&mut self, name: &str) -> Option<OffsetDateTime> {
        let text = self.take(name)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).ok();
        if time.is_none() {
            self.fault(name, "date_time", "a date and time such as 2027-01-31T12:00:00Z");
        }
        time
    }

    /// Takes one of these words.
    pub(super) fn choice(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let text = self.take(name)?;
        if !words.contains(&text.as_str()) {
            self.fault(name, "choice", words.join(", "));
        }
        Some(text)
    }

    /// Takes an id.
    pub(super) fn id<T: std::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.take(name)?;
        let id = text.parse().ok();
        if id.is_none() {
            self.fault(name, "type", "a UUID");
        }
        id
    }

    /// Takes at most so many ids, separated by commas.
    pub(super) fn ids(&mut self, name: &str, most: usize) -> Option<Vec<Uuid>> {
        let text = self.take(name)?;
        let ids: Option<Vec<Uuid>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        match ids {
            Some(ids) if ids.len() <= most => return Some(ids),
            Some(_) => self.fault(name, "length", format!("at most {most} ids")),
            None => self.fault(name, "type", "UUIDs"),
        }
        None
    }

    /// Takes `cursor`.
    pub(super) fn cursor<C: Cursor>(&mut self) -> Option<C> {
        let text = self.take("cursor")?;
        let cursor = C::of_text(&text);
        if cursor.is_none() {
            self.fault("cursor", "cursor", "a next_cursor of this list");
        }
        cursor
    }

    /// Refuses when anything was wrong or is left over.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.left) {
            self.fault(&name, "unknown", "there is no such parameter");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::with_errors(Code::InvalidQuery, self.faults)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::page::ContactCursor;

    fn refused(mut params: Params) -> String {
        params.limit();
        params.cursor::<ContactCursor>();
        params.finish().map_or_else(|problem| String::from_utf8(problem.json(None)).unwrap(), |()| "ok".to_owned())
    }

    #[test]
    fn what_is_absent_has_a_default_and_what_is_right_passes() {
        assert_eq!(Params::of("").limit(), 50);
        assert_eq!(Params::of("limit=200").limit(), 200);
        assert_eq!(refused(Params::of("limit=7")), "ok");
    }

    #[test]
    fn all_faults_are_told_together_and_values_are_not_quoted() {
        let told = refused(Params::of("limit=0&cursor=canary&colour=canary&limit=201"));
        for name in ["?limit", "?cursor", "?colour", "repeated", "unknown"] {
            assert!(told.contains(name), "{name} in {told}");
        }
        assert!(!told.contains("canary"));
    }
}

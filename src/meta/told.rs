//! What Meta says of an error in its own words: in an answer of the Graph API, and in a status.

use serde_json::Value;

/// Meta's words for an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it is called.
    pub title: Option<String>,
    /// What Meta says beyond that.
    pub details: Option<String>,
}

/// The error of an answer: `{"error": {…}}`.
#[must_use]
pub fn of_answer(body: impl AsRef<[u8]>) -> Option<Told> {
    let body: Value = serde_json::from_slice(body.as_ref()).ok()?;
    let error = body.get("error")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    Some(Told { title: text(error.get("message")), details: text(error.pointer("/error_data/details")) })
}

/// The first error of a status, by the envelope around it.
#[must_use]
pub fn of_status(envelope: impl AsRef<[u8]>) -> Option<Told> {
    let envelope: Value = serde_json::from_slice(envelope.as_ref()).ok()?;
    let error = envelope.pointer("/entry/0/changes/0/value/statuses/0/errors/0")?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let title = text(error.get("title")).or_else(|| text(error.get("message")));
    Some(Told { title, details: text(error.pointer("/error_data/details")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_in_metas_words_wherever_it_stands() {
        let told = |title: &str, details: Option<&str>| {
            Some(Told { title: Some(title.to_owned()), details: details.map(str::to_owned) })
        };
        let answer = r#"{"error":{"message":"(#131047) Re-engagement message","code":131047,"error_data":{"details":"Too late"}}}"#;
        assert_eq!(of_answer(answer), told("(#131047) Re-engagement message", Some("Too late")));
        let status = r#"{"entry":[{"changes":[{"value":{"statuses":[{"errors":[{"code":131026,"title":"Undeliverable"}]}]}}]}]}"#;
        assert_eq!(of_status(status), told("Undeliverable", None));
        assert_eq!((of_answer("{}"), of_answer("<html>"), of_status("[]")), (None, None, None));
    }
}

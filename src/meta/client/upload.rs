//! Files on their way to Meta: uploaded through a number, which gives an id that is good for thirty days; and deleted.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::{self, StreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use super::call::{Call, Flow, Method, Outgoing};
use super::media::CODE_GONE;
use super::{Cause, GraphClient, SendError};
use crate::crypto::random;
use crate::ids::PhoneNumberId;
use crate::meta::answer::Outcome;
use crate::meta::errors::Verdict;
use crate::secret::AccessToken;

/// A file for Meta.
pub struct Upload {
    /// Its MIME type, as Meta knows it.
    pub mime_type: String,
    /// A name that says nothing: what people see is named in the message.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// All of it.
    pub content: Flow,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Upload({} bytes)", self.bytes)
    }
}

/// Why a file is not at Meta. Nobody sees a file that is there twice, so that any of these may be followed by another attempt.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Meta refused.
    #[error("Meta refused the file (code {code:?})")]
    Refused {
        /// Meta's code.
        code: Option<i32>,
        /// What that calls for.
        verdict: Verdict,
        /// How long Meta asks to wait.
        retry_after: Option<Duration>,
        /// The body of the answer.
        answer: Bytes,
    },
    /// The connection, or an answer that is not Meta's.
    #[error("the file did not get to Meta")]
    Transport(#[source] SendError),
}

impl GraphClient {
    /// Uploads a file through a number. Returns Meta's id of it.
    pub async fn upload(
        &self,
        number: &PhoneNumberId,
        token: &AccessToken,
        upload: Upload,
    ) -> Result<String, UploadError> {
        let boundary = format!("waxseal-{}", HEXLOWER.encode(&random::bytes::<16>()));
        let (head, tail) = form(&boundary, &upload);
        let length = head.len() as u64 + upload.bytes + tail.len() as u64;
        let kind = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"));
        let kind = kind.map_err(|_| UploadError::Transport(SendError::NotSent(Cause::Address)))?;
        let whole = |text: String| stream::iter([Ok(Bytes::from(text))]);
        let call = Call {
            method: Method::POST,
            version: None,
            path: vec![number.as_str().to_owned(), "media".to_owned()],
            query: Vec::new(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, kind), (CONTENT_LENGTH, length.into())]),
            body: Outgoing::Flowing(whole(head).chain(upload.content).chain(whole(tail)).boxed()),
        };
        let answer = self.call(token, call).await.map_err(UploadError::Transport)?;
        if let Outcome::Refused { code, verdict, retry_after } = answer.outcome() {
            return Err(UploadError::Refused { code, verdict, retry_after, answer: answer.body });
        }
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = match told.get("id") {
            Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
            Some(Value::Number(id)) => Some(id.to_string()),
            _ => None,
        };
        id.ok_or(UploadError::Transport(SendError::InDoubt(Cause::Answer(answer.status))))
    }

    /// Deletes a file at Meta. What Meta does not have is deleted.
    pub async fn delete_file(&self, token: &AccessToken, meta_id: &str) -> Result<(), UploadError> {
        let call = Call {
            method: Method::DELETE,
            version: None,
            path: vec![meta_id.to_owned()],
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: Outgoing::Whole(Bytes::new()),
        };
        let answer = self.call(token, call).await.map_err(UploadError::Transport)?;
        match answer.outcome() {
            Outcome::Refused { code, verdict, retry_after } if !is_gone(answer.status, code, &answer.body) => {
                Err(UploadError::Refused { code, verdict, retry_after, answer: answer.body })
            }
            _ => Ok(()),
        }
    }
}

/// Meta says so of a file by a code of its own, and of ids in general by a code that stands for many faults and this one's subcode.
fn is_gone(status: u16, code: Option<i32>, body: &[u8]) -> bool {
    const NO_SUCH_OBJECT: u64 = 33;
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let no_object = told.pointer("/error/error_subcode").and_then(Value::as_u64) == Some(NO_SUCH_OBJECT);
    status == 404 || code.is_some_and(|code| i64::from(code) == CODE_GONE) || (code == Some(100) && no_object)
}

/// What stands before the file, and behind it.
fn form(boundary: &str, upload: &Upload) -> (String, String) {
    let Upload { mime_type, name, .. } = upload;
    // A type that is none of a header's would break the form. Those of the list have no such letters.
    let plain: String = mime_type.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').collect();
    let text = |name: &str, value: &str| {
        format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let head = format!(
        "{}{}--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: {plain}\r\n\r\n",
        text("messaging_product", "whatsapp"),
        text("type", &plain),
    );
    (head, format!("\r\n--{boundary}--\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_around_a_file_holds_no_line_that_its_type_made_up() {
        let content = stream::iter([]).boxed();
        let upload = Upload { mime_type: "image/png\r\nx: y".into(), name: "a.png".into(), bytes: 0, content };
        let (head, tail) = form("b", &upload);
        assert!(head.ends_with("filename=\"a.png\"\r\ncontent-type: image/pngx: y\r\n\r\n"), "{head}");
        assert_eq!(tail, "\r\n--b--\r\n");
    }

    #[test]
    fn a_file_that_meta_does_not_have_is_deleted() {
        assert!(is_gone(400, Some(131_052), b"{}") && is_gone(404, None, b""));
        assert!(is_gone(400, Some(100), br#"{"error":{"code":100,"error_subcode":33}}"#));
        assert!(!is_gone(400, Some(100), b"{}") && !is_gone(401, Some(190), b"{}"));
    }
}

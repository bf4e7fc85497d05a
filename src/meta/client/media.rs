//! Files that people sent: what Meta says of one, and the file itself. Its address is good for five minutes, its id for seven days.

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use futures_util::StreamExt;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::GraphClient;
use super::call::{Call, Flow, Method, Outgoing};
use crate::ids::PhoneNumberId;
use crate::secret::AccessToken;

/// Meta's code of a file that cannot be had any more.
pub(super) const CODE_GONE: i64 = 131_052;

/// What a message says of the file that it brings.
#[derive(Clone, Default)]
pub struct NamedFile {
    /// Meta's id of it, good for seven days.
    pub id: String,
    /// Its SHA-256.
    pub sha256: Option<Vec<u8>>,
    /// Its type.
    pub mime_type: Option<String>,
    /// The name that the sender gave it.
    pub filename: Option<String>,
}

impl std::fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamedFile(…)")
    }
}

impl NamedFile {
    /// The file of the one message in an envelope of Meta's.
    #[must_use]
    pub fn find(envelope: &[u8]) -> Option<Self> {
        const KINDS: [&str; 6] = ["image", "video", "audio", "voice", "document", "sticker"];
        let envelope: Value = serde_json::from_slice(envelope).ok()?;
        let message = envelope.pointer("/entry/0/changes/0/value/messages/0")?;
        let kind = message.get("type")?.as_str().filter(|kind| KINDS.contains(kind))?;
        let file = message.get(kind)?;
        let text = |name: &str| file.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = file.get("id")?;
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let sha256 =
            text("sha256").and_then(|hash| BASE64.decode(hash.as_bytes()).ok()).filter(|hash| hash.len() == 32);
        Some(Self { id, sha256, mime_type: text("mime_type"), filename: text("filename") })
    }
}

/// What Meta says of a file.
#[derive(Clone)]
pub struct MediaFacts {
    /// Where it is, for five minutes.
    pub url: String,
    /// Its SHA-256, when Meta names it in hex.
    pub sha256: Option<Vec<u8>>,
    /// Its length, when Meta names it.
    pub bytes: Option<u64>,
}

impl std::fmt::Debug for MediaFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaFacts(…)")
    }
}

/// Why there is no file. Holds neither token nor address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Meta does not have it any more.
    #[error("Meta does not have the file any more")]
    Gone,
    /// Meta answered something else than the file.
    #[error("Meta answered with status {0}")]
    Refused(u16),
    /// The answer cannot be read.
    #[error("Meta's answer is none that we know")]
    Answer,
    /// The connection failed, or took too long; or the file lies where the token must not go.
    #[error("there was no connection, or none that is allowed")]
    Transport,
}

#[derive(Deserialize)]
struct Looked {
    url: Option<String>,
    sha256: Option<String>,
    file_size: Option<Value>,
    error: Option<MetaFault>,
}

#[derive(Deserialize)]
struct MetaFault {
    code: Option<i64>,
}

impl GraphClient {
    /// Looks a file up that was sent to this number.
    pub async fn media_facts(
        &self,
        number: &PhoneNumberId,
        token: &AccessToken,
        media: &str,
    ) -> Result<MediaFacts, FetchError> {
        let call = Call {
            method: Method::GET,
            version: None,
            path: vec![media.to_owned()],
            query: vec![("phone_number_id".to_owned(), number.as_str().to_owned())],
            headers: HeaderMap::new(),
            body: Outgoing::Whole(Bytes::new()),
        };
        let answer = self.call(token, call).await.map_err(|_| FetchError::Transport)?;
        let looked: Option<Looked> = serde_json::from_slice(&answer.body).ok();
        let code = looked.as_ref().and_then(|looked| looked.error.as_ref()?.code);
        if answer.status == 404 || code == Some(CODE_GONE) {
            return Err(FetchError::Gone);
        }
        if answer.status != 200 {
            return Err(FetchError::Refused(answer.status));
        }
        let looked = looked.ok_or(FetchError::Answer)?;
        let bytes = looked.file_size.and_then(|size| size.as_u64().or_else(|| size.as_str()?.parse().ok()));
        let sha256 = looked.sha256.and_then(|text| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok());
        let sha256 = sha256.filter(|hash| hash.len() == 32);
        Ok(MediaFacts { url: looked.url.ok_or(FetchError::Answer)?, sha256, bytes })
    }

    /// Opens a file at the address that a look-up named.
    pub async fn file(&self, token: &AccessToken, facts: &MediaFacts) -> Result<Pieces, FetchError> {
        let download = self.download(token, &facts.url, None).await.map_err(|_| FetchError::Transport)?;
        if download.status == 200 { Ok(Pieces(download.body)) } else { Err(FetchError::Refused(download.status)) }
    }
}

/// A file on its way.
pub struct Pieces(Flow);

impl Pieces {
    /// The next piece of it; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.0.next().await.transpose().map_err(|_| FetchError::Transport)
    }
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pieces(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_message_is_found_by_its_type() {
        let body = br#"{"entry":[{"changes":[{"value":{"messages":[{"type":"document",
            "document":{"id":"881","mime_type":"application/pdf","filename":"a.pdf","sha256":"AAAA"}}]}}]}]}"#;
        let named = NamedFile::find(body).unwrap();
        assert_eq!((named.id.as_str(), named.sha256), ("881", None));
        assert_eq!(named.filename.as_deref(), Some("a.pdf"));
        let button = br#"{"entry":[{"changes":[{"value":{"messages":[{"type":"order","order":{"id":"1"}}]}}]}]}"#;
        for none in [&b"{}"[..], b"no JSON", button] {
            assert!(NamedFile::find(none).is_none());
        }
    }
}

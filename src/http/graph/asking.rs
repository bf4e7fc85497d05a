//! What came with a request: the caller's key, wherever an SDK puts it, the query and the body. Keys never go on to Meta, and
//! parameters by which one call of the Graph API can be made to be another are refused.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use futures_util::{StreamExt, stream};
use memchr::memmem;
use serde_json::Value;
use tokio::time::timeout;

use super::error::GraphError;
use crate::meta::client::call::{Flow, Outgoing};
use crate::secret::Pin;
use crate::send::accounts::is_pin;

/// Longest body that is no file. Meta's largest, an interactive list, stays far below.
const LONGEST_BODY: usize = 1024 * 1024;
/// The same as long as nobody knows whose it is.
const LONGEST_OF_STRANGERS: usize = 64 * 1024;
/// How long an application may take to send it, and at most between two pieces of a file.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

const KEY: &str = "access_token";
/// Ours to give.
const OURS: [&str; 2] = [KEY, "appsecret_proof"];
/// `method` makes a GET a DELETE, `ids` and `batch` ask for other things than the path does.
const REFUSED: [&str; 3] = ["batch", "ids", "method"];
/// In a body, fields would be shown that nobody has asked a permission for.
const REFUSED_IN_BODIES: [&str; 4] = ["batch", "fields", "ids", "method"];

/// The parameters of the URL.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Result<Self, GraphError> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
        if pairs.iter().any(|(name, _)| REFUSED.contains(&name.as_str())) {
            return Err(refused());
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be given more than once.
    pub(super) fn all<'q>(&'q self, wanted: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    /// What may go to Meta.
    pub(super) fn for_meta(&self) -> Vec<(String, String)> {
        self.0.iter().filter(|(name, _)| !OURS.contains(&name.as_str())).cloned().collect()
    }
}

fn refused() -> GraphError {
    GraphError::parameter(
        "The parameters batch, ids and method, and fields in a body, are not for the gateway's clients",
    )
}

/// The key in the headers, if there is exactly one. `Err`: there is something else.
pub(super) fn key_in_headers(headers: &HeaderMap) -> Result<Option<&str>, GraphError> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let Some(first) = shown.next() else { return Ok(None) };
    let pair = first.to_str().ok().and_then(|text| text.split_once(' ')).filter(|_| shown.next().is_none());
    let known = |scheme: &str| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth");
    pair.filter(|(scheme, _)| known(scheme)).map(|(_, key)| Some(key.trim())).ok_or_else(GraphError::no_key)
}

/// The key in the URL, or in a body that is read for it: `(key, body)`.
pub(super) async fn key_elsewhere(
    query: &Query,
    headers: &HeaderMap,
    body: Body,
) -> Result<(String, Body), GraphError> {
    if let Some(key) = query.get(KEY) {
        return Ok((key.to_owned(), body));
    }
    let read = read(body, LONGEST_OF_STRANGERS).await?;
    let key = match Kind::of(headers) {
        Kind::Form => url::form_urlencoded::parse(&read).find(|(name, _)| name == KEY).map(|(_, key)| key.into_owned()),
        Kind::Json => {
            serde_json::from_slice::<Value>(&read).ok().and_then(|json| Some(json.get(KEY)?.as_str()?.to_owned()))
        }
        Kind::Multipart | Kind::Other => None,
    };
    key.map(|key| (key, Body::from(read))).ok_or_else(GraphError::no_key)
}

enum Kind {
    Form,
    Json,
    Multipart,
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" | "" => Self::Json,
            "multipart/form-data" => Self::Multipart,
            _ => Self::Other,
        }
    }
}

/// The PIN that a call sets or shows: in the URL, a form or JSON. What is no PIN, Meta refuses by itself. A form in parts is refused:
/// a PIN in it would not be kept.
pub(super) fn pin(headers: &HeaderMap, query: &Query, body: &Bytes) -> Result<Option<Pin>, GraphError> {
    const NAME: &str = "pin";
    let kind = Kind::of(headers);
    if matches!(kind, Kind::Multipart | Kind::Other) && !body.is_empty() {
        return Err(GraphError::parameter("A PIN is taken from JSON and from application/x-www-form-urlencoded"));
    }
    let of_body = || match kind {
        Kind::Form => url::form_urlencoded::parse(body).find(|(name, _)| name == NAME).map(|(_, pin)| pin.into_owned()),
        Kind::Json => match serde_json::from_slice::<Value>(body).ok()?.get(NAME)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        },
        Kind::Multipart | Kind::Other => None,
    };
    let text = query.get(NAME).map(str::to_owned).or_else(of_body);
    Ok(text.filter(|text| is_pin(text)).map(Pin::new))
}

async fn read(body: Body, most: usize) -> Result<Bytes, GraphError> {
    match timeout(BODY_DEADLINE, to_bytes(body, most)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) | Err(_) => Err(GraphError::unread()),
    }
}

/// A small body as it may go to Meta: without a key.
pub(super) async fn small(headers: &HeaderMap, body: Body) -> Result<Bytes, GraphError> {
    let body = read(body, LONGEST_BODY).await?;
    match Kind::of(headers) {
        Kind::Form => form(body),
        Kind::Json => json(body),
        Kind::Multipart if names_what_is_refused(&body) => Err(refused()),
        Kind::Multipart => Ok(body),
        Kind::Other if body.is_empty() => Ok(body),
        Kind::Other => Err(GraphError::parameter("The body is neither JSON nor a form")),
    }
}

/// Whether a form in parts has a part that is not for the gateway's clients, however its name is written.
fn names_what_is_refused(body: &[u8]) -> bool {
    const NAME: &[u8] = b"name";
    let body = body.to_ascii_lowercase();
    memmem::find_iter(&body, NAME).any(|at| {
        let rest = body.get(at + NAME.len()..).unwrap_or_default().trim_ascii_start();
        // `name*=` gives it in another encoding; nobody needs that for the names of Meta's parameters.
        let Some(value) = rest.strip_prefix(b"=") else { return rest.starts_with(b"*") };
        let is_mark = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b'\t');
        let is_end = |byte: &u8| matches!(byte, b';' | b'\r' | b'\n');
        let value: Vec<u8> =
            value.iter().take_while(|byte| !is_end(byte)).filter(|byte| !is_mark(byte)).copied().collect();
        OURS.iter().chain(&REFUSED_IN_BODIES).any(|name| value == name.as_bytes())
    })
}

fn form(body: Bytes) -> Result<Bytes, GraphError> {
    let pairs: Vec<_> = url::form_urlencoded::parse(&body).collect();
    if pairs.iter().any(|(name, _)| REFUSED_IN_BODIES.contains(&name.as_ref())) {
        return Err(refused());
    }
    if !pairs.iter().any(|(name, _)| OURS.contains(&name.as_ref())) {
        return Ok(body);
    }
    let kept = pairs.iter().filter(|(name, _)| !OURS.contains(&name.as_ref()));
    Ok(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish().into())
}

fn json(body: Bytes) -> Result<Bytes, GraphError> {
    let has = |text: &str| memmem::find(&body, text.as_bytes()).is_some();
    // A name may be written in escapes.
    if !OURS.iter().chain(&REFUSED_IN_BODIES).any(|name| has(name)) && !has("\\u") {
        return Ok(body);
    }
    let Ok(Value::Object(mut members)) = serde_json::from_slice(&body) else { return Ok(body) };
    if REFUSED_IN_BODIES.iter().any(|name| members.contains_key(*name)) {
        return Err(refused());
    }
    let before = members.len();
    members.retain(|name, _| !OURS.contains(&name.as_str()));
    if members.len() == before {
        return Ok(body);
    }
    serde_json::to_vec(&members).map(Bytes::from).map_err(|_| GraphError::parameter("Invalid parameter"))
}

/// A file on its way through us. Says afterwards whether it ended early: that is the caller's fault and not Meta's.
pub(super) struct Passing {
    pub(super) body: Outgoing,
    broken: Arc<AtomicBool>,
}

impl Passing {
    /// The file, and what remembers whether it broke.
    pub(super) fn part(self) -> (Outgoing, impl Fn() -> bool) {
        let broken = self.broken.clone();
        (self.body, move || broken.load(Ordering::Relaxed))
    }
}

/// A file of at most so many bytes.
pub(super) fn file(headers: &HeaderMap, body: Body, most: u64) -> Result<Passing, GraphError> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(GraphError::unread());
    }
    let broken = Arc::new(AtomicBool::new(false));
    let flow = bounded(body, most, broken.clone());
    Ok(Passing { body: Outgoing::Flowing(flow), broken })
}

fn bounded(body: Body, most: u64, broken: Arc<AtomicBool>) -> Flow {
    let begin = (body.into_data_stream(), most, broken);
    stream::try_unfold(begin, |(mut pieces, left, broken)| async move {
        let piece = match timeout(BODY_DEADLINE, pieces.next()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(piece))) => left.checked_sub(piece.len() as u64).map(|left| (piece, left)),
            Ok(Some(Err(_))) | Err(_) => None,
        };
        match piece {
            Some((piece, left)) => Ok(Some((piece, (pieces, left, broken)))),
            None => {
                broken.store(true, Ordering::Relaxed);
                Err(io::Error::other("the file is incomplete, too slow or too long"))
            }
        }
    })
    .boxed()
}

/// The headers that describe a body, for Meta.
pub(super) fn describing(headers: &HeaderMap, is_file: bool) -> HeaderMap {
    const OF_ALL: &[&str] = &["content-type"];
    // The length of a file, so that it is not sent in pieces of unknown number, and where in an upload it begins.
    const OF_FILES: &[&str] = &["content-type", "content-length", "file_offset"];
    let names = if is_file { OF_FILES } else { OF_ALL };
    let found = names.iter().filter_map(|name| Some((HeaderName::from_static(name), headers.get(*name)?.clone())));
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passed(kind: &'static str, body: &'static str) -> Result<String, GraphError> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        small(&headers, Body::from(body)).await.map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_key_in_a_body_goes_no_further_and_the_rest_stays_as_it_is() {
        let (form, json) = ("application/x-www-form-urlencoded", "application/json; charset=utf-8");
        assert_eq!(passed(form, "a=1&access_token=k&b=%20").await.unwrap(), "a=1&b=+");
        assert_eq!(passed(form, "a=1&b=%20").await.unwrap(), "a=1&b=%20");
        assert_eq!(passed(json, r#"{"access_token":"k","a":1}"#).await.unwrap(), r#"{"a":1}"#);
        assert_eq!(passed(json, r#"{"acce\u0073s_token":"k","a":1}"#).await.unwrap(), r#"{"a":1}"#);
        assert_eq!(
            passed(json, r#"{ "b": 1.0, "a": "access_token" }"#).await.unwrap(),
            r#"{ "b": 1.0, "a": "access_token" }"#
        );
        assert_eq!(passed(json, "").await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_call_cannot_be_made_to_be_another() {
        assert!(passed("application/json", r#"{"method":"delete"}"#).await.is_err());
        assert!(passed("application/json", r#"{"a":{"fields":1},"fields":"block_users"}"#).await.is_err());
        assert!(passed("application/json", r#"{"a":{"fields":1}}"#).await.is_ok());
        assert!(passed("application/x-www-form-urlencoded", "method=delete").await.is_err());
        for part in
            ["name=\"method\"", "name=method", "Name='method'; x=y", "name = \"m\\ethod\"", "name*=utf-8''method"]
        {
            let body = format!("--x\r\ncontent-disposition: form-data; {part}\r\n\r\ndelete\r\n--x--");
            assert!(passed("Multipart/Form-Data; boundary=x", body.leak()).await.is_err(), "{part}");
        }
        let harmless = "--x\r\ncontent-disposition: form-data; name=\"names\"\r\n\r\na name, methodical\r\n--x--";
        assert_eq!(passed("multipart/form-data; boundary=x", harmless).await.unwrap(), harmless);
        assert!(passed("Application/JSON", r#"{"method":"delete"}"#).await.is_err());
        assert!(passed("text/plain", "method=delete").await.is_err() && passed("text/plain", "").await.is_ok());
        assert!(Query::parse(Some("fields=id&ids=1,2")).is_err() && Query::parse(Some("%6dethod=delete")).is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_too_long_breaks_off() {
        let (body, broken) = file(&HeaderMap::new(), Body::from("12345"), 4).unwrap().part();
        let Outgoing::Flowing(mut flow) = body else { panic!("not flowing") };
        assert!(flow.next().await.unwrap().is_err() && broken());
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, 5.into())]);
        assert!(file(&headers, Body::from("12345"), 4).is_err());
    }
}

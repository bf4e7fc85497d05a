//! Any call of the Graph API, and downloads: what applications ask for beside messages. As with messages, nothing is retried and
//! no redirect is followed, and the token goes to Meta's hosts alone.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RANGE};
use url::Url;

use super::{Cause, GraphClient, SendError, read_up_to};
use crate::meta::answer::Answer;
use crate::secret::AccessToken;

pub use reqwest::Method;

/// Longer answers are cut off. A page of a thousand templates has some megabytes.
const LONGEST_ANSWER: usize = 8 << 20;
/// How long a file may take, either way: 100 MB at 200 kB a second.
pub(super) const FILE_PATIENCE: Duration = Duration::from_mins(10);
/// What Meta says about a file that a caller may need.
const OF_A_FILE: &[&str] =
    &["content-type", "content-length", "content-range", "accept-ranges", "etag", "last-modified"];

/// Bytes that come bit by bit.
pub type Flow = BoxStream<'static, io::Result<Bytes>>;

/// A body on its way to Meta.
pub enum Outgoing {
    /// All of it; may be empty.
    Whole(Bytes),
    /// A file, as it comes.
    Flowing(Flow),
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Whole(_)) { "Whole" } else { "Flowing" })
    }
}

/// A call of the Graph API.
pub struct Call {
    /// GET, POST or DELETE.
    pub method: Method,
    /// `vNN.0`; `None`: the configured one.
    pub version: Option<String>,
    /// The parts of the path behind the version, each plain text.
    pub path: Vec<String>,
    /// Without token and proof, which are added.
    pub query: Vec<(String, String)>,
    /// What describes the body.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Outgoing,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("body", &self.body).finish_non_exhaustive()
    }
}

/// A file of Meta's that is on its way.
pub struct Download {
    /// 200, 206 or a refusal.
    pub status: u16,
    /// What describes the file.
    pub headers: HeaderMap,
    /// The file.
    pub body: Flow,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Call {
    /// What describes a body of JSON.
    #[must_use]
    pub fn of_json() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
    }
}

impl GraphClient {
    /// Makes a call. Meta's refusals are `Ok`; a 5xx without Meta's error in it may come from somebody before a Meta that went on.
    pub async fn call(&self, token: &AccessToken, call: Call) -> Result<Answer, SendError> {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        let query: Vec<(&str, &str)> = call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let url = self.url(call.version.as_deref(), &path, &query, token).ok_or(SendError::NotSent(Cause::Address))?;
        let request = self.http.request(call.method, url).bearer_auth(token.expose()).headers(call.headers);
        let request = match call.body {
            Outgoing::Whole(body) if body.is_empty() => request,
            Outgoing::Whole(body) => request.body(body),
            Outgoing::Flowing(flow) => request.body(reqwest::Body::wrap_stream(flow)).timeout(FILE_PATIENCE),
        };
        let response = request.send().await.map_err(SendError::from_transport)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = read_up_to(response, LONGEST_ANSWER).await.map_err(SendError::InDoubt)?;
        let answer = Answer::new(status, &headers, body);
        let is_metas = status < 500 || answer.is_conclusive();
        if is_metas { Ok(answer) } else { Err(SendError::InDoubt(Cause::Answer(status))) }
    }

    /// Fetches a file from where a lookup said that it is, or a part of it.
    pub async fn download(
        &self,
        token: &AccessToken,
        url: &str,
        range: Option<&HeaderValue>,
    ) -> Result<Download, SendError> {
        let url = Url::parse(url).ok().filter(|url| self.is_metas(url)).ok_or(SendError::NotSent(Cause::Foreign))?;
        let mut request = self.http.get(url).bearer_auth(token.expose()).timeout(FILE_PATIENCE);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let response = request.send().await.map_err(SendError::from_transport)?;
        if response.status().is_redirection() {
            return Err(SendError::NotSent(Cause::Foreign));
        }
        let kept = |(name, value): (&HeaderName, &HeaderValue)| {
            OF_A_FILE.contains(&name.as_str()).then(|| (name.clone(), value.clone()))
        };
        let headers = response.headers().iter().filter_map(kept).collect();
        let status = response.status().as_u16();
        let body = response.bytes_stream().map(|bytes| bytes.map_err(|_| io::Error::other("Meta broke off")));
        Ok(Download { status, headers, body: body.boxed() })
    }

    /// Whether a token may go there: to the host of the Graph API itself, or by TLS to one of those that keep Meta's files.
    fn is_metas(&self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none();
        let keeps_files = url.scheme() == "https"
            && url.port_or_known_default() == Some(443)
            && url.host_str().is_some_and(|host| self.media_hosts.iter().any(|known| known.eq_ignore_ascii_case(host)));
        plain && (url.origin() == self.base_url.origin() || keeps_files)
    }
}

//! The Graph client: one request to Meta, and an honest account of what is known afterwards. Nothing is retried here,
//! because Meta has no idempotency key: who sends twice, sends two messages.

pub mod call;
pub mod links;
pub mod media;
mod reading;
pub mod upload;

pub use reading::ReadError;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use url::Url;

use super::answer::Answer;
use crate::ids::PhoneNumberId;
use crate::secret::AccessToken;

/// Longer answers are cut off. Meta's are below 2 kB.
const LONGEST_ANSWER: usize = 1 << 20;

/// Which of Meta's doors a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edge {
    /// Messages of every kind.
    #[default]
    Messages,
    /// Templates of marketing, which Meta may deliver in its own way.
    MarketingMessages,
}

impl Edge {
    /// Its last part of the path.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::MarketingMessages => "marketing_messages",
        }
    }
}

/// How long Meta may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the last byte of the answer.
    pub total: Duration,
}

/// Sends to Meta's Graph API. Cloning shares the connections.
#[derive(Clone)]
pub struct GraphClient {
    http: reqwest::Client,
    base_url: Url,
    version: String,
    media_hosts: Arc<[String]>,
    proves: bool,
}

impl GraphClient {
    /// A client for `base_url` (without the version, as `https://graph.facebook.com`) and `version` (as `v25.0`).
    /// It follows no redirect and ignores proxies of the environment, so that tokens go nowhere else.
    pub fn new(base_url: Url, version: &str, timeouts: Timeouts) -> Result<Self, ClientError> {
        if base_url.cannot_be_a_base() || !matches!(base_url.scheme(), "http" | "https") {
            return Err(ClientError::BaseUrl);
        }
        if !is_version(version) {
            return Err(ClientError::Version);
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("waxseal/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(ClientError::Build)?;
        Ok(Self { http, base_url, version: version.to_owned(), media_hosts: Arc::default(), proves: true })
    }

    /// The same with the hosts that keep Meta's files, beside the one of the Graph API itself.
    #[must_use]
    pub fn with_media_hosts(self, hosts: &[String]) -> Self {
        Self { media_hosts: hosts.into(), ..self }
    }

    /// The same, sending `appsecret_proof` along or not.
    #[must_use]
    pub fn proving(self, proves: bool) -> Self {
        Self { proves, ..self }
    }

    /// Posts `body`, Meta's message object, as the business number. `version` overrides the configured one, for
    /// applications that name theirs. Every answer that says what became of the message is `Ok`, refusals included.
    pub async fn send_message(
        &self,
        phone_number_id: &PhoneNumberId,
        token: &AccessToken,
        body: Bytes,
        (version, edge): (Option<&str>, Edge),
    ) -> Result<Answer, SendError> {
        let number = Some(phone_number_id.as_str()).filter(|number| is_word(number));
        let url = number.and_then(|number| self.url(version, &[number, edge.as_str()], &[], token));
        let url = url.ok_or(SendError::NotSent(Cause::Address))?;
        let request = self.http.post(url).bearer_auth(token.expose());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        let response = request.send().await.map_err(SendError::from_transport)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = read_up_to(response, LONGEST_ANSWER).await.map_err(SendError::InDoubt)?;
        let answer = Answer::new(status, &headers, body);
        if answer.is_conclusive() { Ok(answer) } else { Err(SendError::InDoubt(Cause::Answer(status))) }
    }

    /// The address of a call: the version, the parts of the path behind it, the parameters, and what proves that the app itself asks.
    /// `None` where a part could lead elsewhere.
    fn url(&self, version: Option<&str>, path: &[&str], query: &[(&str, &str)], token: &AccessToken) -> Option<Url> {
        let version = version.unwrap_or(&self.version);
        let is_plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
        if !is_version(version) || path.is_empty() || !path.iter().all(is_plain) {
            return None;
        }
        let mut url = self.base_url.clone();
        url.path_segments_mut().ok()?.pop_if_empty().push(version).extend(path);
        let proof = token.proof().filter(|_| self.proves).map(|proof| ("appsecret_proof", proof));
        if !query.is_empty() || proof.is_some() {
            url.query_pairs_mut().extend_pairs(query).extend_pairs(proof);
        }
        Some(url)
    }
}

impl fmt::Debug for GraphClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphClient").field("version", &self.version).finish_non_exhaustive()
    }
}

/// `v`, digits, a dot, digits.
fn is_version(text: &str) -> bool {
    let digits = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

/// Whether it is one of Meta's ids or words.
fn is_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

async fn read_up_to(mut response: reqwest::Response, cap: usize) -> Result<Bytes, Cause> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Cause::transport)? {
        if body.len() + chunk.len() > cap {
            return Err(Cause::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an http or https address.
    #[error("graph base URL is not an http address")]
    BaseUrl,
    /// Not of the form `v25.0`.
    #[error("graph version is not of the form v25.0")]
    Version,
    /// TLS cannot be set up.
    #[error("HTTP client could not be built")]
    Build(#[source] reqwest::Error),
}

/// Why what became of a message is not known from an answer. The difference decides whether it may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It certainly did not reach Meta. Sending it again doubles nothing.
    #[error("message was not sent")]
    NotSent(#[source] Cause),
    /// It may have reached Meta: only a status webhook can tell. It must not be sent again.
    #[error("message may have been sent, its answer is lost")]
    InDoubt(#[source] Cause),
}

impl SendError {
    fn from_transport(error: reqwest::Error) -> Self {
        // Nothing is written before the connection stands. Whatever else fails may have failed after the last byte.
        let unsent = error.is_connect() || error.is_builder();
        let cause = Cause::transport(error);
        if unsent { Self::NotSent(cause) } else { Self::InDoubt(cause) }
    }

    /// Whether the same message may be sent again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::NotSent(Cause::Transport(_)))
    }
}

/// What went wrong on the way. Holds neither token nor address nor body.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The channel has no access token.
    #[error("channel has no access token")]
    NoToken,
    /// What shall be asked for, or the version, cannot be part of an address.
    #[error("what is asked for or the version has another form than Meta's")]
    Address,
    /// Connecting, writing or reading failed, or took too long.
    #[error("connection failed")]
    Transport(#[source] reqwest::Error),
    /// The file is not where Meta keeps files, so that the token must not go there.
    #[error("file is not at one of Meta's hosts")]
    Foreign,
    /// The answer is longer than any of Meta's.
    #[error("answer is too long")]
    TooLong,
    /// The answer, of this status, does not say what became of the message.
    #[error("answer with status {0} is not Meta's")]
    Answer(u16),
}

impl Cause {
    fn transport(error: reqwest::Error) -> Self {
        Self::Transport(error.without_url())
    }
}

#[cfg(test)]
mod tests;

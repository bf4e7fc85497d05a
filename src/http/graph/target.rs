//! What a request is about: the path is taken apart, its first part is looked up among the numbers and accounts of the caller, and
//! with it goes the channel in whose name Meta is asked.

use std::sync::Arc;

use axum::http::Method;

use super::error::{GraphError, no_token};
use super::table::{Row, TABLE};
use crate::access::Caller;
use crate::config::AllowedCall;
use crate::directory::Snapshot;
use crate::domain::channel::Channel;
use crate::ids::PhoneNumberId;

/// Longest part of a path. Ids of upload sessions have some hundred characters.
const LONGEST_PART: usize = 512;

/// A path of the Graph API, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphPath {
    /// `vNN.0`, where the caller names one.
    pub(super) version: Option<String>,
    /// The rest; at least one part.
    pub(super) parts: Vec<String>,
}

impl GraphPath {
    /// Takes apart what stands behind `/graph/`. A slash at the end counts for nothing, as at Meta.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().ok().map(Into::into);
        let mut parts: Vec<String> = path.trim_end_matches('/').split('/').map(decoded).collect::<Option<_>>()?;
        if !parts.iter().all(|part| is_plain(part)) {
            return None;
        }
        let version = parts.first().is_some_and(|part| is_version(part)).then(|| parts.remove(0));
        (!parts.is_empty()).then_some(Self { version, parts })
    }

    pub(super) fn first(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

/// Whether a part is an id or a word, and nothing that could be a way to somewhere else.
fn is_plain(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:=.~+".contains(&byte);
    (1..=LONGEST_PART).contains(&part.len()) && part != "." && part != ".." && part.bytes().all(known)
}

/// Whether it is `v`, digits, a dot and digits. It goes into the URL for Meta and is stored, so it is nothing else.
pub(super) fn is_version(text: &str) -> bool {
    let number = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// What the first part of a path names.
#[derive(Debug, Clone)]
pub(super) enum First {
    /// A number of the caller.
    Phone(Arc<Channel>),
    /// An account with a number of the caller.
    Account(Arc<Channel>),
    /// Something that Meta alone knows.
    Other,
}

impl First {
    /// Looks it up. Numbers and accounts of others are as unknown as any.
    pub(super) fn of(snapshot: &Snapshot, caller: &Caller, part: &str) -> Result<Self, GraphError> {
        if let Some(channel) = own_number(snapshot, caller, part) {
            return Ok(Self::Phone(channel));
        }
        let own = own_channels(snapshot, caller);
        let of_account: Vec<_> = own.into_iter().filter(|channel| channel.waba_id.as_str() == part).collect();
        let with_token = of_account.iter().find(|channel| channel.token.is_some()).or(of_account.first());
        match with_token {
            Some(channel) => Ok(Self::Account(channel.clone())),
            None if snapshot.is_listed(part) => Err(GraphError::unknown_object()),
            None => Ok(Self::Other),
        }
    }

    /// The row of the table for this, a method and the rest of the path.
    pub(super) fn row(&self, method: &Method, path: &GraphPath) -> Option<&'static Row> {
        TABLE.iter().filter(|row| row.method == *method).find(|row| self.fits(row.parts(), path))
    }

    /// Whether an operator lets this through.
    pub(super) fn is_allowed(&self, allowed: &[AllowedCall], method: &Method, path: &GraphPath) -> bool {
        let named = |call: &&AllowedCall| call.method == method.as_str();
        allowed.iter().filter(named).any(|call| self.fits(call.path.iter().map(String::as_str), path))
    }

    fn fits<'p>(&self, pattern: impl Iterator<Item = &'p str>, path: &GraphPath) -> bool {
        let mut pattern: Vec<&str> = pattern.collect();
        let is_upload = path.first().starts_with("upload:");
        let first = match pattern.first().copied() {
            Some("{phone}") => matches!(self, Self::Phone(_)),
            Some("{waba}") => matches!(self, Self::Account(_)),
            Some("{upload}") => is_upload,
            Some("{object}" | "{app}" | "{id}") => matches!(self, Self::Other) && !is_upload && is_id(path.first()),
            Some("*") => true,
            Some(word) => word == path.first(),
            None => false,
        };
        let rest = pattern.split_off(1.min(pattern.len()));
        let word = |(wanted, part): (&str, &String)| matches!(wanted, "{code}" | "*" | "{id}") || wanted == part;
        first && rest.len() + 1 == path.parts.len() && rest.into_iter().zip(path.parts.iter().skip(1)).all(word)
    }
}

/// Ids of Meta's have digits in them; words of its paths have none.
fn is_id(part: &str) -> bool {
    part.bytes().any(|byte| byte.is_ascii_digit())
}

fn own_number(snapshot: &Snapshot, caller: &Caller, part: &str) -> Option<Arc<Channel>> {
    let channel = snapshot.channel_by_number(caller.tenant, &PhoneNumberId::new(part))?;
    caller.may_use(channel.id).then(|| channel.clone())
}

fn own_channels(snapshot: &Snapshot, caller: &Caller) -> Vec<Arc<Channel>> {
    let all = snapshot.channels_of(caller.tenant);
    all.into_iter().filter(|channel| caller.may_use(channel.id)).cloned().collect()
}

/// The channel in whose name Meta is asked about something that is on no list of ours: the one that the caller names by
/// `phone_number_id`, or one of the only account that the caller has.
pub(super) fn speaker(snapshot: &Snapshot, caller: &Caller, named: Option<&str>) -> Result<Arc<Channel>, GraphError> {
    if let Some(named) = named {
        return own_number(snapshot, caller, named).ok_or_else(GraphError::unknown_object);
    }
    let own = own_channels(snapshot, caller);
    let first = own.first().ok_or_else(GraphError::unknown_object)?;
    if own.iter().any(|channel| channel.waba_id != first.waba_id) {
        return Err(GraphError::parameter(
            "This key may use several accounts: name one of their numbers by the parameter phone_number_id",
        ));
    }
    own.iter().find(|channel| channel.token.is_some()).cloned().ok_or_else(no_token)
}

/// Whether the caller may use every channel of the account: what is done to an account is done to all of them.
pub(super) fn has_whole_account(snapshot: &Snapshot, caller: &Caller, channel: &Channel) -> bool {
    let all = snapshot.channels_of(caller.tenant);
    all.iter().filter(|other| other.waba_id == channel.waba_id).all(|other| caller.may_use(other.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_and_nothing_that_could_be_a_path() {
        assert!(is_version("v25.0") && is_version("v3.12"));
        for wrong in [
            "", "v", "v25", "v25.", "v.0", "25.0", "V25.0", "v25.0/..", "v25.0.1", "v-1.0", "v25.0 ", "v12345.0",
            "v٣.0",
        ] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_path_is_a_version_that_may_be_missing_and_plain_parts() {
        let parts = |path| GraphPath::parse(path).map(|path| (path.version.is_some(), path.parts.join(" ")));
        assert_eq!(parts("v25.0/1/messages/"), Some((true, "1 messages".to_owned())));
        assert_eq!(parts("1"), Some((false, "1".to_owned())));
        assert_eq!(parts("v25.0/upload%3AMTph=="), Some((true, "upload:MTph==".to_owned())));
        for wrong in
            ["", "/", "v25.0", "v25.0/", "v25.0//messages", "v25.0/..", "v25.0/%2e%2e/x", "v25.0/a%2Fb", "1/%00"]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}

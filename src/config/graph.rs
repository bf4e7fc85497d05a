//! `[graph]`: the Graph mirror.

use std::str::FromStr;

use url::Url;

use super::reader::Reader;

/// What the mirror calls itself, and what it passes on beside its table.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// Base of links in answers, without a slash at its end; `None`: what the request names as its host.
    pub public_url: Option<String>,
    /// Calls beside those of the table.
    pub allow: Vec<AllowedCall>,
}

impl GraphConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url: Option<PublicUrl> =
            reader.parsed("graph.public_url", "empty, or an http or https URL without user, query or fragment");
        let allow = reader.list("graph.allow", "calls such as GET /{waba}/assigned_users");
        Some(Self { public_url: url?.0, allow: allow? })
    }
}

struct PublicUrl(Option<String>);

impl FromStr for PublicUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = Url::parse(text).map_err(|_| ())?;
        let bare = url.username().is_empty() && url.password().is_none();
        let bare = bare && url.query().is_none() && url.fragment().is_none() && url.has_host();
        let known = matches!(url.scheme(), "http" | "https");
        if bare && known { Ok(Self(Some(url.as_str().trim_end_matches('/').to_owned()))) } else { Err(()) }
    }
}

/// A call that an operator lets through: a method, and the parts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedCall {
    /// GET, POST or DELETE.
    pub method: String,
    /// Parts of the path without version: words, `{phone}`, `{waba}`, `{id}` or `*`.
    pub path: Vec<String>,
}

impl FromStr for AllowedCall {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (method, path) = text.split_once(' ').ok_or(())?;
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let known = |part: &&str| matches!(*part, "{phone}" | "{waba}" | "{id}" | "*") || word(part);
        let parts: Vec<&str> = path.trim().strip_prefix('/').ok_or(())?.split('/').collect();
        if !matches!(method, "GET" | "POST" | "DELETE") || !parts.iter().all(known) {
            return Err(());
        }
        Ok(Self { method: method.to_owned(), path: parts.into_iter().map(str::to_owned).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_let_through_is_a_method_and_parts() {
        let call = AllowedCall::from_str("GET /{waba}/assigned_users").unwrap();
        assert_eq!((call.method.as_str(), call.path), ("GET", vec!["{waba}".to_owned(), "assigned_users".to_owned()]));
        assert!(AllowedCall::from_str("POST /{id}/*").is_ok());
        for wrong in ["", "GET", "GET x", "PUT /{waba}", "GET /{business}/x", "GET /a//b", "GET /..", "get /a"] {
            assert!(AllowedCall::from_str(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn our_own_address_has_no_secrets_and_no_slash_behind_it() {
        let read = |text| PublicUrl::from_str(text).map(|url| url.0);
        assert_eq!(read("https://a.example/graph/"), Ok(Some("https://a.example/graph".to_owned())));
        assert_eq!(read(""), Ok(None));
        assert!(["x", "ftp://a", "https://u:p@a", "https://a/?b"].iter().all(|text| read(text).is_err()));
    }
}

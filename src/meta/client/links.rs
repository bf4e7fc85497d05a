//! The links in Meta's answers. They lead to Meta, and those to further pages hold the token that was asked with: both must stay
//! inside, so they are rewritten to lead to us, and the rest of the answer is passed on byte by byte.

use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem;
use serde_json::value::RawValue;
use url::Url;

use super::GraphClient;

/// Parameters of links that nobody outside may see.
const SECRET: [&str; 2] = ["access_token", "appsecret_proof"];
/// How deep lists lie within answers: a field that is a list of things that have lists.
const DEPTH: usize = 8;

/// Where a link stands in a body, and what shall stand there.
type Change = (std::ops::Range<usize>, String);

impl GraphClient {
    /// The answer with links to further pages that lead to `base`, which stands for the base of the Graph API.
    #[must_use]
    pub fn relinked(&self, body: &Bytes, base: &str) -> Bytes {
        let changes = match std::str::from_utf8(body) {
            Ok(text) if memmem::find(body, b"\"paging\"").is_some() => self.links(text, base),
            _ => return body.clone(),
        };
        splice(body, &changes)
    }

    fn links(&self, text: &str, base: &str) -> Vec<Change> {
        let mut found = Vec::new();
        find(text, DEPTH, &mut found);
        let start = text.as_ptr() as usize;
        let changed = |raw: &str| {
            let link: String = serde_json::from_str(raw).ok()?;
            let at = raw.as_ptr() as usize - start;
            Some((at..at + raw.len(), serde_json::to_string(&self.relocated(&link, base)).ok()?))
        };
        let mut changes: Vec<Change> = found.into_iter().filter_map(changed).collect();
        changes.sort_by_key(|(at, _)| at.start);
        changes
    }

    /// The link with `base` in place of Graph's, if it leads there, and in any case without what must not be seen.
    fn relocated(&self, link: &str, base: &str) -> String {
        let Ok(mut url) = Url::parse(link) else { return String::new() };
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !SECRET.contains(&name.as_ref()))
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        let is_graphs = url.origin() == self.base_url.origin() || url.host_str() == Some("graph.facebook.com");
        if !is_graphs {
            return url.into();
        }
        let path = url.path().strip_prefix(self.base_url.path().trim_end_matches('/')).unwrap_or(url.path());
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{base}{path}{query}")
    }
}

/// The text of a member of an object.
#[must_use]
pub fn member(body: &Bytes, name: &str) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).ok()?;
    serde_json::from_str(members.get(name)?.get()).ok()
}

/// The object with another text for a member that it has, and else as it is.
#[must_use]
pub fn with_member(body: &Bytes, name: &str, text: &str) -> Bytes {
    let Ok(whole) = std::str::from_utf8(body) else { return body.clone() };
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(whole).unwrap_or_default();
    let (Some(value), Ok(text)) = (members.get(name), serde_json::to_string(text)) else { return body.clone() };
    let at = value.get().as_ptr() as usize - whole.as_ptr() as usize;
    splice(body, &[(at..at + value.get().len(), text)])
}

/// Finds the links to further pages, as they are written.
fn find<'a>(json: &'a str, depth: usize, found: &mut Vec<&'a str>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match json.as_bytes().first() {
        Some(b'{') => {
            let Ok(members) = serde_json::from_str::<BTreeMap<String, &'a RawValue>>(json) else { return };
            for (name, value) in members {
                if name == "paging" {
                    found.extend(pages(value.get()));
                } else {
                    find(value.get(), depth, found);
                }
            }
        }
        Some(b'[') => {
            let items = serde_json::from_str::<Vec<&'a RawValue>>(json).unwrap_or_default();
            for item in items {
                find(item.get(), depth, found);
            }
        }
        _ => {}
    }
}

fn pages(paging: &str) -> Vec<&str> {
    let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(paging).unwrap_or_default();
    ["next", "previous"].iter().filter_map(|name| members.get(*name)).map(|link| link.get()).collect()
}

fn splice(body: &Bytes, changes: &[Change]) -> Bytes {
    let mut spliced = Vec::with_capacity(body.len());
    let mut done = 0;
    for (at, text) in changes {
        spliced.extend_from_slice(body.get(done..at.start).unwrap_or_default());
        spliced.extend_from_slice(text.as_bytes());
        done = at.end;
    }
    spliced.extend_from_slice(body.get(done..).unwrap_or_default());
    spliced.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::client::Timeouts;
    use std::time::Duration;

    fn relinked(body: &str) -> String {
        let timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(1) };
        let client = GraphClient::new("https://graph.facebook.com".parse().unwrap(), "v25.0", timeouts).unwrap();
        let body = client.relinked(&Bytes::copy_from_slice(body.as_bytes()), "http://gateway:8081/graph");
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn links_to_pages_lead_to_us_without_the_token_and_nothing_else_is_touched() {
        let body = r#"{ "data" : [ {"b":1.50, "a":"https://graph.facebook.com/x", "next":"https://graph.facebook.com/y"} ],
            "paging":{"cursors":{"after":"A"},"next":"https:\/\/graph.facebook.com\/v25.0\/1\/message_templates?access_token=EAA&limit=2&after=A",
            "previous":"https://graph.facebook.com/v25.0/1/message_templates?appsecret_proof=ab&access_token=EAA"}}"#;
        let expected = body
            .replace(
                r"https:\/\/graph.facebook.com\/v25.0\/1\/message_templates?access_token=EAA&limit=2&after=A",
                "http://gateway:8081/graph/v25.0/1/message_templates?limit=2&after=A",
            )
            .replace(
                "https://graph.facebook.com/v25.0/1/message_templates?appsecret_proof=ab&access_token=EAA",
                "http://gateway:8081/graph/v25.0/1/message_templates",
            );
        assert_eq!(relinked(body), expected);
    }

    #[test]
    fn a_member_is_read_and_replaced_where_it_stands() {
        let body = Bytes::from_static(br#"{ "id":"1", "url" : "https:\/\/a.example\/x", "n":1.0 }"#);
        assert_eq!(member(&body, "url").as_deref(), Some("https://a.example/x"));
        assert_eq!(with_member(&body, "url", "http://b"), &br#"{ "id":"1", "url" : "http://b", "n":1.0 }"#[..]);
        assert_eq!((member(&body, "n"), with_member(&body, "x", "y")), (None, body.clone()));
    }

    #[test]
    fn a_list_within_a_list_is_found_and_a_link_elsewhere_loses_the_token_alone() {
        let body =
            r#"{"phone_numbers":{"data":[{"x":{"paging":{"next":"https://other.example/p?access_token=EAA&a=b"}}}]}}"#;
        assert_eq!(
            relinked(body),
            r#"{"phone_numbers":{"data":[{"x":{"paging":{"next":"https://other.example/p?a=b"}}}]}}"#
        );
        for odd in ["", "{\"paging\"", r#"{"paging":{"next":7}}"#, r#"{"paging":"next"}"#, "[\"paging\"]"] {
            assert_eq!(relinked(odd), odd);
        }
    }
}

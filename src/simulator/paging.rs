//! Meta's cursor pages and field selection.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::header;
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::platform::Platform;

/// Rows of one page when the caller names no limit.
const DEFAULT_LIMIT: usize = 25;
/// The most rows of one page.
const MAX_LIMIT: usize = 1000;

/// Parameters that are not taken over from one page to the next.
const OF_PAGES: [&str; 5] = ["limit", "after", "before", "access_token", "appsecret_proof"];

/// The paging parameters of a list.
#[derive(Debug, Default, Deserialize)]
struct PageQuery {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

/// A list as it is asked for: which page of it, at which address, with which parameters.
#[derive(Debug)]
pub(super) struct Listing {
    page: PageQuery,
    url: String,
    asked: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = QueryRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, QueryRejection> {
        let Query(page) = Query::from_request_parts(parts, state).await?;
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let url = format!("http://{host}{}", parts.uri.path());
        Ok(Self { page, url, asked: parts.uri.query().map(str::to_owned) })
    }
}

/// `{data, paging}` for the part of `rows` that `query` asks for. `url` is the list's own address without a query.
fn page(rows: &[Value], query: &PageQuery, url: &str) -> Value {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let start = match (&query.after, &query.before) {
        (Some(after), _) => position(after).map_or(0, |last| last.saturating_add(1)),
        (None, Some(before)) => position(before).map_or(0, |first| first.saturating_sub(limit)),
        (None, None) => 0,
    };
    let data: Vec<Value> = rows.iter().skip(start).take(limit).cloned().collect();
    if data.is_empty() {
        return json!({"data": []});
    }
    let last = start + data.len() - 1;
    let mut paging = json!({"cursors": {"before": cursor(start), "after": cursor(last)}});
    if let Some(fields) = paging.as_object_mut() {
        if last + 1 < rows.len() {
            fields.insert("next".into(), format!("{url}?limit={limit}&after={}", cursor(last)).into());
        }
        if start > 0 {
            fields.insert("previous".into(), format!("{url}?limit={limit}&before={}", cursor(start)).into());
        }
    }
    json!({"data": data, "paging": paging})
}

impl Platform {
    /// The page, with links that hold what was asked for and the token of whoever asked, as Meta's do.
    pub(super) fn page(&self, rows: &[Value], list: &Listing) -> Value {
        let mut page = page(rows, &list.page, &list.url);
        let asked = url::form_urlencoded::parse(list.asked.as_deref().unwrap_or_default().as_bytes());
        let asked: Vec<_> = asked.filter(|(name, _)| !OF_PAGES.contains(&name.as_ref())).collect();
        let links = page.get_mut("paging").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, link) in links.filter(|(name, _)| matches!(name.as_str(), "next" | "previous")) {
            let Ok(mut url) = reqwest::Url::parse(link.as_str().unwrap_or_default()) else { continue };
            let token = self.config.access_token.expose();
            url.query_pairs_mut().extend_pairs(&asked).append_pair("access_token", token);
            *link = String::from(url).into();
        }
        page
    }
}

/// The named fields of `object` (a comma-separated list; what is in braces is ignored) and always its `id`. All of it
/// when no fields are named.
pub(super) fn select(object: &Value, fields: Option<&str>) -> Value {
    let Some((fields, object)) = fields.filter(|fields| !fields.is_empty()).zip(object.as_object()) else {
        return object.clone();
    };
    let wanted: Vec<&str> = fields.split(',').map(|field| field.split('{').next().unwrap_or(field).trim()).collect();
    let named = |(key, _): &(&String, &Value)| key.as_str() == "id" || wanted.contains(&key.as_str());
    object.iter().filter(named).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn cursor(position: usize) -> String {
    BASE64URL_NOPAD.encode(format!("row:{position}").as_bytes())
}

fn position(cursor: &str) -> Option<usize> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix("row:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_the_cursors_visits_every_row_once() {
        let rows: Vec<Value> = (0..7).map(Value::from).collect();
        let (mut seen, mut query) = (Vec::new(), PageQuery { limit: Some(3), ..PageQuery::default() });
        loop {
            let page = page(&rows, &query, "http://x");
            seen.extend(page["data"].as_array().unwrap().clone());
            if page["paging"].get("next").is_none() {
                break;
            }
            query.after = page["paging"]["cursors"]["after"].as_str().map(str::to_owned);
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn named_fields_come_alone_with_the_id() {
        let selected = select(&json!({"id": "1", "a": 1, "b": 2}), Some("b,throughput{level}"));
        assert_eq!(selected, json!({"id": "1", "b": 2}));
    }
}

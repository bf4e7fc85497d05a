//! Reading from the Graph API: what may be asked again without harm.

use serde_json::Value;

use super::{Cause, GraphClient, is_word, read_up_to};
use crate::secret::AccessToken;

/// Longer pages are cut off: a hundred templates with all their texts stay far below.
const LONGEST_PAGE: usize = 16 << 20;
/// Pages of a list that are read at most: more than Meta allows an account templates.
const MOST_PAGES: usize = 200;

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection, or an answer that is not Meta's.
    #[error("Meta could not be asked")]
    Unreached(#[source] Cause),
    /// Meta refused.
    #[error("Meta refused to answer (code {code:?})")]
    Refused {
        /// Meta's code.
        code: Option<i64>,
    },
}

impl GraphClient {
    /// One object. `path` is what stands behind the version.
    pub async fn read(&self, path: &[&str], query: &[(&str, &str)], token: &AccessToken) -> Result<Value, ReadError> {
        let path = Some(path).filter(|path| path.iter().all(|part| is_word(part)));
        let url = path.and_then(|path| self.url(None, path, query, token));
        let url = url.ok_or(ReadError::Unreached(Cause::Address))?;
        let asked = self.http.get(url).bearer_auth(token.expose()).send().await;
        let response = asked.map_err(|error| ReadError::Unreached(Cause::transport(error)))?;
        let status = response.status().as_u16();
        let body = read_up_to(response, LONGEST_PAGE).await.map_err(ReadError::Unreached)?;
        let json: Value = serde_json::from_slice(&body).map_err(|_| ReadError::Unreached(Cause::Answer(status)))?;
        if let Some(error) = json.get("error") {
            return Err(ReadError::Refused { code: error.get("code").and_then(Value::as_i64) });
        }
        if (200..300).contains(&status) { Ok(json) } else { Err(ReadError::Unreached(Cause::Answer(status))) }
    }

    /// A list, page by page. Only Meta's cursors are followed, never an address in its answer: the token goes to one place.
    pub async fn read_all(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        token: &AccessToken,
    ) -> Result<Vec<Value>, ReadError> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let mut asked = query.to_vec();
            asked.extend(after.as_deref().map(|after| ("after", after)));
            let mut page = self.read(path, &asked, token).await?;
            let data = page.get_mut("data").map(Value::take);
            let Some(Value::Array(data)) = data else { return Err(ReadError::Unreached(Cause::Answer(200))) };
            all.extend(data);
            let cursor = page.pointer("/paging/cursors/after").and_then(Value::as_str);
            after = cursor.filter(|_| page.pointer("/paging/next").is_some()).map(str::to_owned);
            if after.is_none() {
                return Ok(all);
            }
        }
        // A list that does not end is none.
        Err(ReadError::Unreached(Cause::TooLong))
    }
}

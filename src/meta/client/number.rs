//! What Meta says of a business number.

use serde_json::Value;
use url::Url;

use super::{GraphClient, read_to_cap};
use crate::ids::PhoneNumberId;
use crate::secret::AccessToken;

impl GraphClient {
    /// One field of a business number, as Meta has it now; `None` where it does not say.
    pub async fn number_field(&self, number: &PhoneNumberId, token: &AccessToken, field: &str) -> Option<Value> {
        let mut url = self.number_address(number)?;
        url.query_pairs_mut().append_pair("fields", field);
        if let Some(proof) = self.proof(token) {
            url.query_pairs_mut().append_pair("appsecret_proof", proof);
        }
        let response = self.http.get(url).bearer_auth(token.expose()).send().await.ok()?;
        let body = read_to_cap(response.error_for_status().ok()?).await.ok()?;
        serde_json::from_slice::<Value>(&body).ok()?.get_mut(field).map(Value::take)
    }

    /// That of its messages without their edge, which has been looked at.
    fn number_address(&self, number: &PhoneNumberId) -> Option<Url> {
        let mut url = self.address(None, number)?;
        url.path_segments_mut().ok()?.pop();
        Some(url)
    }
}

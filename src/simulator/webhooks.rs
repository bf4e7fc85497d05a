//! The way out to the callback: Meta's spelling of JSON, the signature, the POST and its repetitions.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::ledger::{Item, WebhookState};
use super::platform::Platform;
use super::settings::Retry;
use crate::secret::AppSecret;

/// The value of `X-Hub-Signature-256` for `body`: `sha256=` and 64 lower-case hex digits.
pub fn signature_header(secret: &AppSecret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    format!("sha256={}", HEXLOWER.encode(hmac::sign(&key, body).as_ref()))
}

/// `value` as Meta writes JSON: everything beyond ASCII as `\uXXXX` with lower-case digits, and `/` as `\/`.
pub fn meta_json(value: &Value) -> String {
    let plain = value.to_string();
    let mut spelled = String::with_capacity(plain.len() + plain.len() / 8);
    for character in plain.chars() {
        match character {
            // Outside of strings JSON has no slash and nothing beyond ASCII, so that no parsing is needed here.
            '/' => spelled.push_str("\\/"),
            character if character.is_ascii() => spelled.push(character),
            character => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(spelled, "\\u{unit:04x}");
                }
            }
        }
    }
    spelled
}

/// The client that posts webhooks. No redirects and no proxy, like Meta; Meta's time-out is about this long.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent("facebookexternalua")
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(20))
        .build()
}

/// A webhook on its way.
#[derive(Clone)]
struct Parcel {
    seq: u64,
    field: String,
    signature: String,
    body: Bytes,
}

impl Platform {
    /// Posts a whole envelope, spelled and signed. Gives the status of the first attempt, none when nothing answered;
    /// anything but 200 is posted again in the background.
    pub(super) async fn post(self: &Arc<Self>, envelope: &Value) -> Option<u16> {
        self.post_bytes(Bytes::from(meta_json(envelope)), None, envelope).await
    }

    /// Posts `body` as it is, signed unless a signature is given. `reading` is the body as JSON, for the ledger alone.
    pub(super) async fn post_bytes(
        self: &Arc<Self>,
        body: Bytes,
        signature: Option<String>,
        reading: &Value,
    ) -> Option<u16> {
        let signature = signature.unwrap_or_else(|| signature_header(&self.config.app_secret, &body));
        let fields = fields_of(reading);
        let field = fields.first().cloned().unwrap_or_else(|| "messages".to_owned());
        let seq = self.ledger.enter(fields, items_of(reading), body.clone());
        let parcel = Parcel { seq, field, signature, body };
        let retry = self.settings().retry;
        // A webhook that has nowhere to go is recorded and forgotten, like Meta's of an app without a subscription.
        let last = retry.attempts <= 1 || self.account.callback_for(&parcel.field).is_none();
        let status = self.attempt(&parcel, last).await;
        if status != Some(200) && !last {
            let platform = Arc::clone(self);
            self.tasks.spawn(async move { platform.post_again(parcel, retry).await });
        }
        status
    }

    async fn post_again(&self, parcel: Parcel, retry: Retry) {
        for attempt in 2..=retry.attempts {
            if !self.pause(gap_before(attempt, retry)).await {
                return;
            }
            if self.attempt(&parcel, attempt == retry.attempts).await == Some(200) {
                return;
            }
        }
    }

    /// One POST, to the callback that is set now, so that a moved callback gets what the old one refused.
    async fn attempt(&self, parcel: &Parcel, last: bool) -> Option<u16> {
        let url = self.account.callback_for(&parcel.field);
        let status = match &url {
            None => None,
            Some(url) => tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                status = self.send(url, parcel) => status,
            },
        };
        let state = match status {
            Some(200) => WebhookState::Delivered,
            _ if last => WebhookState::Failed,
            _ => WebhookState::Retrying,
        };
        self.ledger.attempted(parcel.seq, url, status, state);
        status
    }

    async fn send(&self, url: &str, parcel: &Parcel) -> Option<u16> {
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", &parcel.signature)
            .body(parcel.body.clone());
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        // Read to the end, so that the connection can be used again.
        let _ = response.bytes().await;
        Some(status)
    }
}

/// The wait before attempt number `attempt`, which is at least 2.
fn gap_before(attempt: u32, retry: Retry) -> Duration {
    let doublings = attempt.saturating_sub(2).min(32);
    Duration::from_millis(retry.first_gap_ms.saturating_mul(1 << doublings).min(retry.longest_gap_ms))
}

fn changes(envelope: &Value) -> impl Iterator<Item = &Value> {
    let entries = envelope.get("entry").and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| entry.get("changes").and_then(Value::as_array)).flatten()
}

fn fields_of(envelope: &Value) -> Vec<String> {
    let mut fields: Vec<String> =
        changes(envelope).filter_map(|change| change.get("field")?.as_str().map(str::to_owned)).collect();
    fields.dedup();
    fields
}

fn items_of(envelope: &Value) -> Vec<Item> {
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let values = changes(envelope).filter_map(|change| change.get("value"));
    values
        .flat_map(|value| list(value, "messages").into_iter().chain(list(value, "statuses")))
        .filter_map(|item| {
            Some(Item {
                wamid: item.get("id")?.as_str()?.to_owned(),
                status: item.get("status").and_then(Value::as_str).map(str::to_owned),
                timestamp: item
                    .get("timestamp")
                    .and_then(Value::as_str)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_spelled_as_meta_spells_it() {
        let spelled = meta_json(&json!({"body": "Grüße 👋 https://x"}));
        assert_eq!(spelled, r#"{"body":"Gr\u00fc\u00dfe \ud83d\udc4b https:\/\/x"}"#);
        assert_eq!(serde_json::from_str::<Value>(&spelled).unwrap(), json!({"body": "Grüße 👋 https://x"}));
    }

    #[test]
    fn the_signature_is_rfc_4231_hmac_sha256() {
        let header = signature_header(&AppSecret::new("Jefe"), b"what do ya want for nothing?");
        assert_eq!(header, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn gaps_double_up_to_the_longest() {
        let retry = Retry { attempts: 9, first_gap_ms: 100, longest_gap_ms: 350 };
        let gaps: Vec<_> = (2..6).map(|attempt| gap_before(attempt, retry).as_millis()).collect();
        assert_eq!(gaps, [100, 200, 350, 350]);
    }
}

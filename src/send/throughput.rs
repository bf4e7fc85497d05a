//! How fast Meta lets a number send: asked by the owner of its lane, and kept where all processes read it.

use super::Sender;
use crate::domain::channel::Channel;

/// Messages a second by `throughput.level`, and of a number that the WhatsApp Business app uses too (Cloud API, "Throughput").
const STANDARD: i32 = 80;
const HIGH: i32 = 1000;
const COEXISTENCE: i32 = 20;

impl Sender {
    /// Asks Meta for the throughput of a channel. What it does not say stays as it was.
    pub(super) async fn learn_throughput(&self, channel: &Channel) {
        let (Some(token), None) = (&channel.token, self.pacing.per_second) else { return };
        let ask = async |field: &str| self.graph.number_field(&channel.phone_number_id, token, field).await;
        let Some(throughput) = ask("throughput").await else { return };
        let per_second = match throughput.get("level").and_then(serde_json::Value::as_str) {
            Some("HIGH") => HIGH,
            Some("STANDARD") if ask("is_on_biz_app").await == Some(serde_json::Value::Bool(true)) => COEXISTENCE,
            Some("STANDARD") => STANDARD,
            _ => return,
        };
        if let Err(error) = self.store.set_throughput(channel.tenant, channel.id, per_second).await {
            tracing::debug!(channel = %channel.id, error = %error, "the throughput of a channel could not be kept");
        }
    }
}

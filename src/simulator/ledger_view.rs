//! The ledger as JSON.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::ledger::{Accepted, Ledger, Posted};

impl Ledger {
    /// The books as JSON; only the totals when `summary` is set.
    pub(super) fn show(&self, summary: bool) -> Value {
        let books = self.books();
        let mut page = json!({
            "requests": books.requests,
            "messages_accepted": books.accepted_total,
            "webhooks_posted": books.posted_total,
            "webhooks_delivered": books.delivered_total,
        });
        if let Some(fields) = page.as_object_mut()
            && !summary
        {
            fields.insert("doubled".into(), doubled(&books.accepted));
            fields.insert("messages".into(), books.accepted.iter().map(show_accepted).collect());
            fields.insert("reads".into(), books.reads.iter().cloned().collect());
            fields.insert("webhooks".into(), books.posted.iter().map(show_posted).collect());
        }
        page
    }
}

/// Opaque data that came with more than one accepted message, and how often: the sign of a message sent twice.
fn doubled(accepted: &VecDeque<Accepted>) -> Value {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for opaque in accepted.iter().filter_map(|message| message.opaque.as_deref()) {
        *counts.entry(opaque).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(opaque, count)| (opaque.to_owned(), Value::from(count)))
        .collect()
}

fn show_accepted(message: &Accepted) -> Value {
    json!({
        "wamid": message.wamid,
        "to": message.to,
        "type": message.kind,
        "biz_opaque_callback_data": message.opaque,
        "accepted_at": message.at,
        "body": serde_json::from_slice::<Value>(&message.body).unwrap_or_default(),
    })
}

fn show_posted(posted: &Posted) -> Value {
    // A body that is JSON is shown as the text that was signed, so that it can be checked byte for byte.
    let text = String::from_utf8_lossy(&posted.body);
    json!({
        "seq": posted.seq,
        "fields": posted.fields,
        "items": posted.items,
        "url": posted.url,
        "state": posted.state,
        "status": posted.attempts.last().copied().flatten(),
        "attempts": posted.attempts,
        "body": text,
    })
}

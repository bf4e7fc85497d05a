//! Messages to Meta: kinds and states, as the API shows them.

use super::event::Status;

/// Kinds of message that Meta's `type` names.
pub const KINDS: [&str; 16] = [
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "order_details",
    "order_status",
    "pin",
    "reaction",
    "sticker",
    "template",
    "text",
    "unpin",
    "video",
    "voice",
];

/// The kind as a constant, which may stand in a plain column. What Meta may add later is `other`.
#[must_use]
pub fn kind(text: &str) -> &'static str {
    KINDS.into_iter().find(|kind| *kind == text).unwrap_or("other")
}

/// How far a message has come, told by our own record and the statuses that Meta reported.
#[must_use]
pub fn state(stored: &str, statuses: impl IntoIterator<Item = Status>) -> &'static str {
    let statuses: Vec<Status> = statuses.into_iter().collect();
    let failed = stored == "failed" || statuses.contains(&Status::Failed);
    let furthest = statuses.into_iter().filter(|status| !matches!(status, Status::Other | Status::Failed)).max();
    match (stored, furthest) {
        (_, Some(Status::Played)) => "played",
        (_, Some(Status::Read)) => "read",
        (_, Some(Status::Delivered)) => "delivered",
        _ if failed => "failed",
        (_, Some(Status::Sent)) => "sent",
        ("accepted", _) => "accepted",
        ("in_doubt", _) => "in_doubt",
        _ => "queued",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_never_goes_backwards_whatever_the_order_of_statuses() {
        assert_eq!(state("queued", []), "queued");
        assert_eq!(state("accepted", [Status::Read, Status::Sent]), "read");
        assert_eq!(state("accepted", [Status::Delivered, Status::Failed]), "delivered");
        assert_eq!(state("accepted", [Status::Sent, Status::Failed]), "failed");
        assert_eq!(state("in_doubt", [Status::Sent]), "sent");
        assert_eq!(state("in_doubt", []), "in_doubt");
    }
}

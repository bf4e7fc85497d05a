//! What can be tuned while the simulator runs: the status ladder, the retries of webhooks, delays and strictness.

use serde::{Deserialize, Serialize};

/// A rung of the status ladder, in Meta's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Left Meta.
    Sent,
    /// Reached the person's device.
    Delivered,
    /// Shown to the person.
    Read,
    /// A voice message was listened to. Sent for voice messages only.
    Played,
    /// Will not arrive; carries an error.
    Failed,
}

impl Step {
    /// Meta's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }
}

/// The statuses that follow an accepted send.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ladder {
    /// Whether any status is posted.
    pub enabled: bool,
    /// The rungs, in order. `played` is skipped unless the message is a voice message.
    pub steps: Vec<Step>,
    /// Wait before each rung, in milliseconds.
    pub gap_ms: u64,
    /// Whether a status waits until the one before it was posted once. Meta gives no such promise.
    pub in_order: bool,
    /// Most statuses in one POST, of whatever messages. Meta's limit is 1000.
    pub batch: usize,
    /// How long a POST that is not full waits for further statuses, in milliseconds.
    pub linger_ms: u64,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            enabled: true,
            steps: vec![Step::Sent, Step::Delivered, Step::Read, Step::Played],
            gap_ms: 30,
            in_order: true,
            batch: 1,
            linger_ms: 0,
        }
    }
}

/// How webhooks that were not answered with 200 are posted again. Meta goes on for 7 days; this gives up sooner.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// Wait before the second attempt, in milliseconds. It doubles from attempt to attempt.
    pub first_gap_ms: u64,
    /// The longest wait, in milliseconds.
    pub longest_gap_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 10, first_gap_ms: 200, longest_gap_ms: 30_000 }
    }
}

/// Whether calls must carry an `appsecret_proof`. One that is wrong is refused in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// They may.
    #[default]
    Optional,
    /// They must.
    Required,
}

/// Everything that can be changed while the simulator runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the JSON that tests write")]
pub struct Settings {
    /// The statuses that follow an accepted send.
    pub ladder: Ladder,
    /// How webhooks are posted again.
    pub retry: Retry,
    /// Added to the answer of every `POST /messages`, in milliseconds.
    pub delay_ms: u64,
    /// Most messages, and most webhooks, that the ledger remembers. The totals go on counting.
    pub ledger_keep: usize,
    /// Whether a send must name media and templates that exist, as with Meta.
    pub check_references: bool,
    /// Whether statuses carry `conversation`, as Meta's do up to v23.
    pub conversation_in_status: bool,
    /// Messages a second that the number takes; 0: any number.
    pub messages_per_second: u32,
    /// Whether one person gets one message in six seconds at most, with 45 borrowed from later.
    pub pair_limit: bool,
    /// Whether every call must carry an `appsecret_proof`, as an app at Meta can be set to.
    pub proof: Proof,
    /// Where lookups say that files are; empty: here.
    pub media_url_base: String,
    /// Where downloads are redirected to; empty: nowhere.
    pub download_redirect: String,
    /// Whether a new template is approved after one ladder gap, with its webhook.
    pub approve_templates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ladder: Ladder::default(),
            retry: Retry::default(),
            delay_ms: 0,
            ledger_keep: 100_000,
            check_references: true,
            conversation_in_status: false,
            messages_per_second: 0,
            pair_limit: false,
            proof: Proof::Optional,
            media_url_base: String::new(),
            download_redirect: String::new(),
            approve_templates: true,
        }
    }
}

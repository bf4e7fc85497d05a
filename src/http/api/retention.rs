//! `/v1/privacy/retention`: how old the oldest is that is there.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::Date;
use utoipa::ToSchema;

use super::problem::Problem;
use super::query::Params;
use crate::access::Caller;
use crate::clock::SharedClock;
use crate::domain::keeping::Keep;
use crate::ids::ChannelId;
use crate::privacy::{Attested, ChannelRule, Privacy};

/// How old the oldest of a class is, and may be.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionOfClass)]
pub(super) struct ClassJson {
    /// `event_payload`, `message` and `media` hold what was said; `event`, `delivery_dead`, `attempt` and `audit_entry` that it was.
    /// `passing` waits to be acknowledged by endpoints. `short_lived_key`: the last day of the key that is destroyed next, of what single
    /// numbers keep for days.
    class: String,
    /// The UTC day of the oldest that is there.
    #[schema(value_type = String, format = Date)]
    oldest: String,
    /// Nothing is older than this day, but for what is held; null: kept for ever, or by `audit.retention_days`.
    #[schema(value_type = Option<String>, format = Date)]
    kept_since: Option<String>,
    /// True: it is older than it may be. Somebody holds it, or the cleaning has not been done today.
    overdue: bool,
}

/// What a number keeps for a shorter time.
#[derive(Serialize, ToSchema)]
#[schema(as = RetentionRule)]
pub(super) struct RuleJson {
    channel_id: ChannelId,
    /// `received`, `statuses`, `sent` or `files`; fields of what is received: `names`, `locations`, `contacts` or `referrals`.
    class: &'static str,
    /// `channel`: the number's own. `configuration`: of `[retention]`, for every number. `content_days`: one of these, cut to the days that
    /// content is kept at all.
    source: &'static str,
    /// Days; null: until every endpoint has acknowledged it.
    days: Option<u16>,
    /// What came before this day cannot be opened, but for what is held; null: it goes by what is acknowledged.
    #[schema(value_type = Option<String>, format = Date)]
    kept_since: Option<String>,
}

fn rule(rule: ChannelRule) -> RuleJson {
    let days = match rule.keep {
        Keep::Days(days) => Some(days),
        Keep::Delivered => None,
    };
    let kept_since = rule.kept_since.map(|day| day.to_string());
    let (class, source) = (rule.class.as_str(), rule.source.as_str());
    RuleJson { channel_id: rule.channel, class, source, days, kept_since }
}

/// What is there, by class.
#[derive(Serialize, ToSchema)]
#[schema(as = Retention)]
pub(super) struct RetentionJson {
    /// Days that what was said is kept; null: for ever.
    content_days: Option<u16>,
    /// Days that it is kept that it was; null: for ever.
    metadata_days: Option<u16>,
    /// Days that failed attempts are kept; null: for ever.
    attempts_days: Option<u16>,
    /// Those that there is anything of.
    classes: Vec<ClassJson>,
    /// What numbers keep for a shorter time.
    rules: Vec<RuleJson>,
}

fn class(Attested { class, oldest, horizon }: Attested) -> ClassJson {
    let shown = |day: Date| day.to_string();
    let overdue = horizon.is_some_and(|horizon| oldest < horizon);
    ClassJson { class, oldest: shown(oldest), kept_since: horizon.map(shown), overdue }
}

/// How old the oldest of each class is, looked up now. The same is recorded in the audit log once a day, after what was too old was
/// removed.
#[utoipa::path(
    get, path = "/v1/privacy/retention", tag = "Privacy", operation_id = "show_retention",
    responses((status = 200, description = "What is there.", body = RetentionJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(privacy): State<Privacy>,
    State(clock): State<SharedClock>,
    params: Params,
) -> Result<Json<RetentionJson>, Problem> {
    params.finish()?;
    let today = clock.now().date();
    let classes = privacy.oldest(who.tenant, today).await?;
    let terms = privacy.retention;
    Ok(Json(RetentionJson {
        content_days: terms.content,
        metadata_days: terms.metadata,
        attempts_days: terms.attempts,
        classes: classes.into_iter().map(class).collect(),
        rules: privacy.rules(who.tenant, today).into_iter().map(rule).collect(),
    }))
}

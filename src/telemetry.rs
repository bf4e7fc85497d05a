//! Logs and metrics. Every metric is named here; labels are closed lists, never a tenant, number, id or URL.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What goes wrong again and again is told of once when it begins, and once when it is over: each time would bury the log.
#[derive(Debug)]
pub struct Trouble {
    begins: &'static str,
    is_over: &'static str,
    lasts: bool,
}

impl Trouble {
    /// None so far. What is said when it begins, and when it is over.
    #[must_use]
    pub const fn none(begins: &'static str, is_over: &'static str) -> Self {
        Self { begins, is_over, lasts: false }
    }

    /// Notes how it went this time.
    pub fn note<T, E: std::error::Error>(&mut self, result: &Result<T, E>) {
        match result {
            Err(error) if !self.lasts => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%error, cause, "{}", self.begins);
            }
            Ok(_) if self.lasts => tracing::info!("{}", self.is_over),
            _ => {}
        }
        self.lasts = result.is_err();
    }
}

/// Seconds from the last byte of Meta's POST to our answer.
pub const INGEST_ACK_SECONDS: &str = "waxseal_ingest_ack_seconds";
/// Events in one transaction.
pub const INGEST_BATCH_SIZE: &str = "waxseal_ingest_batch_size";
/// Webhook POSTs by `outcome`: stored, unproved, `too_large`, incomplete, full, unavailable.
pub const INGEST_REQUESTS: &str = "waxseal_ingest_requests_total";
/// Events stored, by `type`.
pub const INGEST_EVENTS: &str = "waxseal_ingest_events_total";
/// Events that had been stored before.
pub const INGEST_DUPLICATES: &str = "waxseal_ingest_dedup_total";
/// Bodies that were left unread for a while.
pub const INGEST_HELD_BACK: &str = "waxseal_ingest_held_back_total";
/// Batches that were split because a row was refused.
pub const INGEST_SPLITS: &str = "waxseal_ingest_splits_total";
/// Bytes waiting for the batcher.
pub const INGEST_QUEUE_BYTES: &str = "waxseal_ingest_queue_bytes";
/// Seconds from the storing of an event to its 2xx.
pub const DELIVERY_LAG_SECONDS: &str = "waxseal_delivery_lag_seconds";
/// Age of the oldest event that an active endpoint is owed.
pub const OLDEST_UNDELIVERED_SECONDS: &str = "waxseal_oldest_undelivered_seconds";
/// Attempts by `class`.
pub const ATTEMPTS: &str = "waxseal_attempts_total";
/// Deliveries given up, by `reason`.
pub const DEAD: &str = "waxseal_dead_total";
/// Dead letters that are owed again.
pub const REDRIVEN: &str = "waxseal_redriven_total";
/// Events of replays that are owed once more.
pub const REPLAYED: &str = "waxseal_replayed_total";
/// Erasures that are not certified yet.
pub const ERASURES_RUNNING: &str = "waxseal_erasures_running";
/// Requests of people about their data that are not answered. Label `state`: `open` (all), `soon` (due within a week), `overdue`.
pub const PRIVACY_REQUESTS: &str = "waxseal_privacy_requests";
/// Replays that are not at their end.
pub const REPLAYS_RUNNING: &str = "waxseal_replays_running";
/// Channels whose access token needs attention. Label `reason`: `invalid`, `missing_scopes`, `expires_soon`.
pub const TOKEN_TROUBLES: &str = "waxseal_token_troubles";
/// Endpoints that accept nothing and are only probed.
pub const BREAKERS_OPEN: &str = "waxseal_breakers_open";
/// Deliveries by `kind`: fresh, postponed. Postgres's estimate.
pub const OWED: &str = "waxseal_owed";
/// Lanes this process owns.
pub const LANES_OWNED: &str = "waxseal_lanes_owned";
/// Lanes taken over.
pub const LANE_TAKEOVERS: &str = "waxseal_lane_takeovers_total";
/// Messages to Meta by `outcome`: accepted, failed, `in_doubt`, expired, postponed.
pub const SENDS: &str = "waxseal_sends_total";
/// Files that people sent by `outcome`: stored, lost, postponed.
pub const MEDIA_FETCHES: &str = "waxseal_media_fetches_total";
/// Times that Meta refused because something was too fast, by `kind`: channel, pair.
pub const SEND_SLOWED: &str = "waxseal_send_slowed_total";
/// Requests of the mirror that were refused before Meta would have, by `kind`: channel, pair.
pub const SEND_LIMITED: &str = "waxseal_send_limited_total";
/// Those who stay to be told of events, by `kind`: waiting, stream.
pub const EVENT_READERS: &str = "waxseal_event_readers";
/// How long the oldest event is held back from readers, because an older transaction is open on the server.
pub const EVENTS_HELD_BACK_SECONDS: &str = "waxseal_events_held_back_seconds";
/// Entries put into the tree of the audit log.
pub const AUDIT_SEQUENCED: &str = "waxseal_audit_sequenced_total";
/// How long the oldest entry waits that is in no tree yet.
pub const AUDIT_LAG_SECONDS: &str = "waxseal_audit_lag_seconds";
/// Answers of witnesses by `outcome`: signed, away, refused, `other_size`, wrong, unasked.
pub const AUDIT_COSIGNATURES: &str = "waxseal_audit_cosignatures_total";
/// How long checkpoints wait for witnesses.
pub const AUDIT_UNPUBLISHED_SECONDS: &str = "waxseal_audit_unpublished_seconds";
/// API keys that were locked because their read budget was exceeded.
pub const KEYS_LOCKED: &str = "waxseal_keys_locked_total";
/// 1: every connection has taken on its database role, so that Postgres keeps the rows of tenants apart. 0: not.
pub const ROWS_KEPT_APART: &str = "waxseal_rows_kept_apart";
/// Times that a decoy was opened: at most once an hour for each key and decoy.
pub const DECOYS_OPENED: &str = "waxseal_decoys_opened_total";
/// API keys that were revoked because somebody reported them as leaked.
pub const KEYS_REPORTED: &str = "waxseal_keys_reported_total";
/// Requests of the API that were refused, by `reason`: unauthenticated, forbidden, locked.
pub const REFUSED: &str = "waxseal_refused_total";
/// Connections that came to nothing before TLS was agreed, by `listener`: public, internal, admin.
pub const TLS_REFUSED: &str = "waxseal_tls_refused_total";
/// Readings of changed certificate files, by `listener` and `outcome`: taken, faulty.
pub const TLS_RELOADS: &str = "waxseal_tls_reloads_total";
/// Unwrapped data keys in memory.
pub const CACHED_KEYS: &str = "waxseal_cached_keys";
/// Places of the epoch cell by `state`: whole, lost.
pub const CELL_PLACES: &str = "waxseal_cell_places";
/// 1 while the KMS was heard of lately enough for what is stored to be opened, else 0.
pub const KMS_IN_TIME: &str = "waxseal_kms_in_time";
/// How long ago the KMS was last heard of.
pub const KMS_HEARD_SECONDS: &str = "waxseal_kms_heard_seconds";
/// Calls of the KMS by `outcome`: answered, silent (it does not answer in time), refused (not its bytes), denied (not for us).
pub const KMS_CALLS: &str = "waxseal_kms_calls_total";
/// Number of the root of the key tree.
pub const KEY_EPOCH: &str = "waxseal_key_epoch";
/// How long the oldest forgotten key waits for a step of the epoch.
pub const KEY_STEP_WAIT_SECONDS: &str = "waxseal_key_step_wait_seconds";
/// Times that a destroyed key was met in the key tables.
pub const FORGOTTEN_KEYS_SEEN: &str = "waxseal_forgotten_keys_seen_total";
/// Stored values that did not open in their place, by `place`: table and column, `media.object`, or `key`.
pub const DAMAGED: &str = "waxseal_damaged_total";
/// Tables, days and settings that were not as the log says when that was last compared.
pub const ROWS_ASTRAY: &str = "waxseal_rows_astray";
/// Database connections by `state`: used, open.
pub const POOL_CONNECTIONS: &str = "waxseal_db_pool_connections";
/// Seconds that a batch waited for a database connection.
pub const POOL_WAIT_SECONDS: &str = "waxseal_db_pool_wait_seconds";

const SECONDS: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const SIZES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0];

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
#[error("metrics could not be set up")]
pub struct TelemetryError(#[source] metrics_exporter_prometheus::BuildError);

/// Starts collecting metrics. Once a process; a second call gives a handle that renders nothing.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(INGEST_BATCH_SIZE.to_owned()), &SIZES))
        .map_err(TelemetryError)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // A second gateway in one process (tests) keeps the recorder of the first.
    let _already_there = metrics::set_global_recorder(recorder);
    describe();
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!(INGEST_ACK_SECONDS, "From the last byte of a webhook to our answer.");
    describe_histogram!(INGEST_BATCH_SIZE, "Events in one transaction.");
    describe_counter!(INGEST_REQUESTS, "Webhook POSTs by outcome.");
    describe_counter!(INGEST_EVENTS, "Events stored, by type.");
    describe_counter!(INGEST_DUPLICATES, "Events that had been stored before.");
    describe_counter!(INGEST_HELD_BACK, "Webhooks left unread for a while because plenty waited.");
    describe_counter!(INGEST_SPLITS, "Batches split because Postgres refused a row.");
    describe_gauge!(ROWS_KEPT_APART, "Whether every connection has taken on its database role.");
    describe_gauge!(INGEST_QUEUE_BYTES, "Bytes waiting for the batcher.");
    describe_histogram!(DELIVERY_LAG_SECONDS, "From the storing of an event to its 2xx.");
    describe_gauge!(OLDEST_UNDELIVERED_SECONDS, "Age of the oldest event that an active endpoint is owed.");
    describe_counter!(ATTEMPTS, "Delivery attempts by class.");
    describe_counter!(DEAD, "Deliveries given up, by reason.");
    describe_counter!(REDRIVEN, "Dead letters that are owed again.");
    describe_counter!(REPLAYED, "Events of replays that are owed once more.");
    describe_gauge!(PRIVACY_REQUESTS, "Requests of people about their data that are not answered, by state.");
    describe_gauge!(ERASURES_RUNNING, "Erasures that are not certified yet.");
    describe_gauge!(REPLAYS_RUNNING, "Replays that are not at their end.");
    describe_gauge!(TOKEN_TROUBLES, "Channels whose access token needs attention, by reason.");
    describe_gauge!(BREAKERS_OPEN, "Endpoints that accept nothing and are only probed.");
    describe_gauge!(OWED, "Deliveries owed, by kind; an estimate.");
    describe_gauge!(LANES_OWNED, "Lanes this process owns.");
    describe_counter!(LANE_TAKEOVERS, "Lanes taken over.");
    describe_counter!(SENDS, "Messages to Meta by outcome.");
    describe_counter!(MEDIA_FETCHES, "Files that people sent by outcome.");
    describe_gauge!(EVENT_READERS, "Requests that wait for events, and open streams.");
    describe_gauge!(EVENTS_HELD_BACK_SECONDS, "How long the oldest event is held back from readers.");
    describe_counter!(AUDIT_SEQUENCED, "Entries put into the tree of the audit log.");
    describe_gauge!(AUDIT_LAG_SECONDS, "How long the oldest audit entry waits for its place in the tree.");
    describe_counter!(AUDIT_COSIGNATURES, "Answers of witnesses that were asked to cosign a checkpoint, by outcome.");
    describe_gauge!(AUDIT_UNPUBLISHED_SECONDS, "How long the oldest checkpoint waits that no published one covers.");
    describe_counter!(KEYS_LOCKED, "API keys locked because their read budget was exceeded.");
    describe_counter!(DECOYS_OPENED, "Times that a decoy was opened.");
    describe_counter!(KEYS_REPORTED, "API keys revoked because they were reported as leaked.");
    describe_counter!(REFUSED, "Refused requests of the API, by reason.");
    describe_counter!(TLS_REFUSED, "Connections that came to nothing before TLS was agreed, by listener.");
    describe_counter!(TLS_RELOADS, "Readings of changed certificate files, by listener and outcome.");
    describe_gauge!(CACHED_KEYS, "Unwrapped data keys in memory.");
    describe_gauge!(KMS_IN_TIME, "1 while the KMS was heard of lately enough for what is stored to be opened.");
    describe_gauge!(KMS_HEARD_SECONDS, "How long ago the KMS was last heard of.");
    describe_counter!(KMS_CALLS, "Calls of the KMS, by outcome.");
    describe_gauge!(CELL_PLACES, "Places of the epoch cell by state.");
    describe_gauge!(KEY_EPOCH, "Number of the root of the key tree.");
    describe_gauge!(KEY_STEP_WAIT_SECONDS, "How long the oldest forgotten key waits for a step of the epoch.");
    describe_counter!(FORGOTTEN_KEYS_SEEN, "Times that a destroyed key was met in the key tables.");
    describe_counter!(DAMAGED, "Stored values that did not open in their place.");
    describe_gauge!(ROWS_ASTRAY, "Tables, days and settings that are not as the log says.");
    describe_gauge!(POOL_CONNECTIONS, "Database connections by state.");
    describe_histogram!(POOL_WAIT_SECONDS, "Wait of a batch for a database connection.");
}

/// Counts a stored value that did not open in its place: somebody changed it or moved it there, or a disk did. Each look counts.
pub fn count_damaged(place: impl Into<String>) {
    metrics::counter!(DAMAGED, "place" => place.into()).increment(1);
}

/// Lets a panic say where it happened and nothing else: what it was told may quote content.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked");
    }));
}

/// Starts logging to standard error: JSON lines, or text for people. `level` is a level or a filter of `tracing`.
pub fn install_logs(level: &str, json: bool) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    // The clients of brokers quote what servers say and, at the lower levels, credentials and bodies. We log by class.
    let silent = ["async_nats", "lapin", "amq_protocol", "async_rs", "krafka"].map(|target| format!("{target}=off"));
    let filter = silent.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_span_events(FmtSpan::NONE);
    // A second gateway in one process (tests) keeps the subscriber of the first.
    let _already_there = if json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.try_init()
    };
}

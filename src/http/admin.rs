//! `GET /healthz`, `GET /readyz`, `GET /metrics`: for the platform that runs the gateway. Nothing here is about anybody.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::time::timeout;

use super::state::AppState;
use crate::ids::TenantId;

/// How long the database has to answer a trivial statement.
const PATIENCE: Duration = Duration::from_secs(1);
/// Above this, new webhooks are about to be refused.
const FULL: f64 = 0.9;

/// The process runs. Says nothing about what it depends on: to restart it would not bring a database back.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    checks: [Check; 5],
    /// What needs somebody's attention and keeps no request from being served.
    warnings: Vec<Warning>,
}

#[derive(Serialize)]
struct Warning {
    name: String,
    count: i64,
}

impl Warning {
    fn of_token((trouble, count): (String, i64)) -> Self {
        Self { name: format!("token_{trouble}"), count }
    }
}

#[derive(Clone, Copy, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
}

/// Whether requests should be sent here: 200 or 503, with a list of what was looked at.
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    let store = &state.store;
    let (database, migrations, key_database, tokens) = tokio::join!(
        in_time(store.ping()),
        in_time(store.pending_migrations()),
        in_time(store.ping_keys()),
        in_time(store.token_troubles())
    );
    // The keys of the tenant may come out of memory, and say nothing of the database that the next tenant's come from.
    let keys = key_database.is_some() && in_time(state.door.check_keys(TenantId::DEFAULT)).await.is_some();
    let checks = [
        Check { name: "database", ok: database.is_some() },
        Check { name: "migrations", ok: migrations == Some(0) },
        Check { name: "keys", ok: keys },
        Check { name: "queue", ok: state.ingest.fill() < FULL },
        Check { name: "running", ok: !state.draining.has_begun() },
    ];
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut warnings: Vec<Warning> = tokens.into_iter().flatten().map(Warning::of_token).collect();
    let lost = i64::try_from(state.door.cell_places_lost()).unwrap_or(i64::MAX);
    let (is_shut, is_silent) = (!state.door.kms_is_in_time(), state.door.kms_is_silent());
    // One of both: what is stored is not opened any more, or will not be soon.
    let (shut, silent) = (i64::from(is_shut), i64::from(is_silent && !is_shut));
    let others =
        [("cell_places", lost), ("kms", shut), ("kms_silent", silent)].into_iter().filter(|(_, count)| *count > 0);
    warnings.extend(others.map(|(name, count)| Warning { name: name.to_owned(), count }));
    (status, Json(Readiness { ready, checks, warnings })).into_response()
}

async fn in_time<T, E>(answer: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(PATIENCE, answer).await.ok()?.ok()
}

/// Prometheus text.
pub(super) async fn metrics(State(metrics): State<PrometheusHandle>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

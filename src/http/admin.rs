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
    /// What somebody should see to soon, although requests are served.
    concerns: Vec<&'static str>,
}

#[derive(Clone, Copy, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
}

/// Whether requests should be sent here: 200 or 503, with a list of what was looked at.
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    let store = &state.store;
    let (database, migrations, key_database) =
        tokio::join!(in_time(store.ping()), in_time(store.pending_migrations()), in_time(store.ping_keys()));
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
    let concerns = [("cell_places", state.door.cell_is_whole()), ("kms", state.door.kms_is_in_time())];
    let concerns = concerns.into_iter().filter(|(_, is_well)| !is_well).map(|(name, _)| name).collect();
    (status, Json(Readiness { ready, checks, concerns })).into_response()
}

async fn in_time<T, E>(answer: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(PATIENCE, answer).await.ok()?.ok()
}

/// Prometheus text.
pub(super) async fn metrics(State(metrics): State<PrometheusHandle>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

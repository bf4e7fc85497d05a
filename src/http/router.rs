//! Every route of the three listeners on one screen. The API's own are in the table of `api::routes`.

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use super::state::AppState;
use super::{admin, api, frame, graph, headers, public as webhook};

/// The public listener: Meta's webhook, and an empty 404 for everything else.
pub fn public(state: AppState) -> Router {
    let nothing = || async { StatusCode::NOT_FOUND };
    Router::new()
        .route("/webhook", get(webhook::verify).post(webhook::receive))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(state)
        .layer(CatchPanicLayer::custom(frame::panicked_silently))
        .layer(from_fn(headers::security))
        .layer(from_fn(frame::public))
}

/// The internal listener: the REST API with its documentation. Beside it the Graph mirror.
pub fn internal(state: AppState) -> Router {
    api::router(state.clone())
        .merge(graph::router(state))
        .layer(CatchPanicLayer::custom(frame::panicked))
        .layer(from_fn(frame::api))
        // Around the frame, which writes refusals anew.
        .layer(from_fn(headers::security))
}

/// The admin listener: health and metrics.
pub fn admin(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(admin::healthz))
        .route("/readyz", get(admin::readyz))
        .route("/metrics", get(admin::metrics))
        .with_state(state)
        .layer(from_fn(headers::security))
}

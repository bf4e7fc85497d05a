//! Every route of the three listeners on one screen. The API's own are in the table of `api::routes`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;

use super::state::AppState;
use super::{admin, api, frame, graph, headers, public as webhook};

/// The public listener: Meta's webhook, and an empty 404 for everything else. It has one path and no router: layers and
/// extractors would cost time that every webhook pays here.
pub fn public(
    state: &AppState,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + use<> {
    let reception = Arc::new(webhook::Reception::new(state));
    tower::service_fn(move |request| {
        let reception = reception.clone();
        async move {
            let response = frame::public(request, webhook::ROUTE, |request| webhook::answer(&reception, request)).await;
            Ok(headers::secured(response))
        }
    })
}

/// The internal listener: the REST API with its documentation, and the Graph mirror, which waits as long as Meta needs and
/// refuses in Meta's words.
pub fn internal(state: AppState) -> Router {
    let mirror = graph::router(state.clone())
        .layer(CatchPanicLayer::custom(frame::panicked_silently))
        .layer(from_fn(frame::mirror))
        .layer(from_fn(headers::security));
    framed(api::router(state)).merge(mirror)
}

/// Puts the frame of the API around routes. The headers are outermost: the frame writes problem documents anew.
fn framed(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(frame::panicked)).layer(from_fn(frame::api)).layer(from_fn(headers::security))
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, Response, StatusCode};
    use tower::ServiceExt;

    async fn ask(routes: Router, path: &str) -> Response<Body> {
        let id = "0123456789abcdef";
        let request = Request::get(path).header("x-request-id", id).body(Body::empty()).unwrap();
        framed(routes).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_names_the_request_and_says_nothing_of_the_panic() {
        let response = ask(Router::new().route("/", get(|| async { panic!("canary") as &str })), "/").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(
            (&headers["x-request-id"], &headers["x-content-type-options"]),
            (
                &axum::http::HeaderValue::from_static("0123456789abcdef"),
                &axum::http::HeaderValue::from_static("nosniff"),
            )
        );
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains(r#""request_id":"0123456789abcdef""#) && !body.contains("canary"), "{body}");
    }
}

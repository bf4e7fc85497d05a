//! Every route of the simulator on one screen.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use super::errors::GraphError;
use super::platform::Platform;
use super::{
    account, admission, control, control_batch, control_inbound, graph_messages, history, media, node, subscriptions,
    templates,
};

/// Meta takes documents of up to 100 MB; the rest is room for the form around them.
const LARGEST_UPLOAD: usize = 104 * 1024 * 1024;

/// The Graph side behind admission, the control side in front of it.
pub(super) fn router(platform: Arc<Platform>) -> Router {
    graph()
        .layer(from_fn_with_state(Arc::clone(&platform), admission::admit))
        .merge(control())
        .fallback(async |uri: Uri| GraphError::no_path(uri.path()))
        .with_state(platform)
        .layer(DefaultBodyLimit::max(LARGEST_UPLOAD))
}

fn graph() -> Router<Arc<Platform>> {
    Router::new()
        .route("/{version}/{id}/messages", post(graph_messages::send))
        .route("/{version}/{id}/marketing_messages", post(graph_messages::send))
        .route("/{version}/{id}/message_history", get(history::list))
        .route("/{version}/{id}/media", post(media::upload))
        .route("/{version}/{id}/phone_numbers", get(account::list_numbers))
        .route("/{version}/{id}/whatsapp_business_profile", get(account::show_profile).post(account::update_profile))
        .route(
            "/{version}/{id}/subscribed_apps",
            get(subscriptions::list).post(subscriptions::subscribe).delete(subscriptions::unsubscribe),
        )
        .route(
            "/{version}/{id}/message_templates",
            get(templates::list).post(templates::create).delete(templates::delete),
        )
        .route("/{version}/debug_token", get(account::debug_token))
        .route("/{version}/{id}", get(node::show).post(node::update).delete(node::delete))
        .route(media::DOWNLOAD_PATH, get(media::download))
}

fn control() -> Router<Arc<Platform>> {
    Router::new()
        .route("/control/callback", put(control::set_callback))
        .route("/control/verify", post(control::verify))
        .route("/control/settings", get(control::show_settings).put(control::merge_settings))
        .route("/control/webhook", post(control::post_webhook))
        .route("/control/raw", post(control::post_raw))
        .route("/control/inbound", post(control_inbound::post))
        .route("/control/batch", post(control_batch::post))
        .route("/control/faults", get(control::show_faults).put(control::set_faults).delete(control::clear_faults))
        .route("/control/ledger", get(control::show_ledger).delete(control::clear_ledger))
}

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
    account, admission, blocks, calls, control, control_batch, control_inbound, control_number, flows, graph_messages,
    history, media, node, number_settings, qr_codes, registration, subscriptions, template_acts, templates, uploads,
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
        .merge(desk())
        .route("/{version}/debug_token", get(account::debug_token))
        .route("/{version}/{id}", get(node::show).post(node::update).delete(node::delete))
        .route(media::DOWNLOAD_PATH, get(media::download))
        .method_not_allowed_fallback(async |uri: Uri| GraphError::no_path(uri.path()))
}

/// What is kept about a number or an account beside messages.
fn desk() -> Router<Arc<Platform>> {
    Router::new()
        .route("/{version}/{id}/register", post(registration::register))
        .route("/{version}/{id}/deregister", post(registration::deregister))
        .route("/{version}/{id}/request_code", post(registration::request_code))
        .route("/{version}/{id}/verify_code", post(registration::verify_code))
        .route("/{version}/{id}/settings", get(number_settings::show).post(number_settings::change))
        .route(
            "/{version}/{id}/whatsapp_commerce_settings",
            get(number_settings::show_commerce).post(number_settings::change_commerce),
        )
        .route(
            "/{version}/{id}/conversational_automation",
            get(number_settings::show_automation).post(number_settings::change_automation),
        )
        .route(
            "/{version}/{id}/whatsapp_business_encryption",
            get(number_settings::show_key).post(number_settings::set_key),
        )
        .route("/{version}/{id}/block_users", get(blocks::list).post(blocks::block).delete(blocks::unblock))
        .route("/{version}/{id}/message_qrdls", get(qr_codes::list).post(qr_codes::create))
        .route("/{version}/{id}/message_qrdls/{code}", get(qr_codes::show).delete(qr_codes::delete))
        .route("/{version}/{id}/calls", post(calls::act))
        .route("/{version}/{id}/call_permissions", get(calls::permissions))
        .route("/{version}/{id}/uploads", post(uploads::begin))
        .route("/{version}/{id}/flows", get(flows::list).post(flows::create))
        .route("/{version}/{id}/assets", get(flows::assets).post(flows::upload))
        .route("/{version}/{id}/publish", post(flows::publish))
        .route("/{version}/{id}/deprecate", post(flows::deprecate))
        .route("/{version}/{id}/compare", get(template_acts::compare))
        .route("/{version}/{id}/unpause", post(template_acts::unpause))
        .route("/{version}/{id}/upsert_message_templates", post(template_acts::upsert))
        .route("/{version}/{id}/migrate_message_templates", post(template_acts::migrate))
        .route("/{version}/{id}/migrate_flows", post(template_acts::migrate))
        .route("/{version}/{id}/message_templates/{act}", post(template_acts::archive))
        .route("/{version}/{id}/template_analytics", get(template_acts::figures))
        .route("/{version}/{id}/template_group_analytics", get(template_acts::figures))
        .route("/{version}/{id}/group_analytics", get(template_acts::figures))
        .route("/{version}/message_template_library", get(template_acts::library))
}

fn control() -> Router<Arc<Platform>> {
    Router::new()
        .route("/control/callback", put(control::set_callback))
        .route("/control/verify", post(control::verify))
        .route("/control/settings", get(control::show_settings).put(control::merge_settings))
        .route("/control/webhook", post(control::post_webhook))
        .route("/control/raw", post(control::post_raw))
        .route("/control/inbound", post(control_inbound::post))
        .route("/control/number", put(control_number::change))
        .route("/control/batch", post(control_batch::post))
        .route("/control/faults", get(control::show_faults).put(control::set_faults).delete(control::clear_faults))
        .route("/control/ledger", get(control::show_ledger).delete(control::clear_ledger))
}

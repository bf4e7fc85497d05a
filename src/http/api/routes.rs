//! The table of routes. A route is not served without the permission that stands beside it, and not served without being
//! documented.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes;

use super::auth::{Guard, authorise};
use super::problem::{Code, Problem};
use super::{
    apps, attempts, audit, audit_scope, batches, channel_state, channels, consent, consent_proofs, contacts,
    dead_letters, decoys, docs, endpoints, erasures, events, exports, holds, key_changes, keys, media, media_links,
    messages, openapi, posture, privacy_requests, record, registration, replays, restrictions, retention, sending,
    stream, templates, uploads, windows,
};
use crate::access::FieldClass::{self, Internal, Personal, Public, Sensitive};
use crate::access::Permission;
use crate::http::state::AppState;

/// Longest body that the API takes.
const LONGEST_BODY: usize = 1024 * 1024;

/// One method of one path.
pub(super) struct Route {
    /// What a key needs for it.
    pub(super) access: Access,
    /// Handler and documentation, which come from one declaration.
    pub(super) served: UtoipaMethodRouter<AppState>,
}

/// What a key needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// This permission, and to see fields of `least`. Nothing above `most` is shown to anybody.
    Needs { permission: Permission, least: FieldClass, most: FieldClass },
    /// No key: whoever reaches the listener may.
    Open,
}

/// A route about people: whoever sees no personal fields or no content gets an answer without them.
fn shows(most: FieldClass, permission: Permission, served: UtoipaMethodRouter<AppState>) -> Route {
    Route { access: Access::Needs { permission, least: Public, most }, served }
}

/// A route about a file, which is all content.
fn file(served: UtoipaMethodRouter<AppState>) -> Route {
    let access = Access::Needs { permission: Permission::MediaRead, least: Sensitive, most: Sensitive };
    Route { access, served }
}

/// A route about all that is known of a person.
fn everything(permission: Permission, served: UtoipaMethodRouter<AppState>) -> Route {
    Route { access: Access::Needs { permission, least: Sensitive, most: Sensitive }, served }
}

/// A route that takes a file, and counts for itself how long it is.
fn whole((schemas, paths, methods): UtoipaMethodRouter<AppState>) -> UtoipaMethodRouter<AppState> {
    (schemas, paths, methods.layer(DefaultBodyLimit::disable()))
}

/// A route about the installation.
fn needs(permission: Permission, served: UtoipaMethodRouter<AppState>) -> Route {
    Route { access: Access::Needs { permission, least: Internal, most: Internal }, served }
}

/// Routes that are made one after another: each brings the documentation of all that it mentions, megabytes in sum.
macro_rules! one_by_one {
    ($($route:expr),* $(,)?) => {{
        let routes: Vec<fn() -> Route> = vec![$(|| $route),*];
        routes.into_iter().map(|make| make())
    }};
}

/// Every route of the API.
pub(super) fn table() -> impl Iterator<Item = Route> {
    one_by_one![
        shows(Sensitive, Permission::EventsRead, routes!(events::list)),
        shows(Sensitive, Permission::EventsRead, routes!(stream::stream)),
        shows(Personal, Permission::ContactsRead, routes!(contacts::list)),
        shows(Personal, Permission::ContactsRead, routes!(contacts::show)),
        Route {
            access: Access::Needs { permission: Permission::ContactsReveal, least: Personal, most: Personal },
            served: routes!(contacts::reveal),
        },
        Route {
            access: Access::Needs { permission: Permission::ContactsWrite, least: Personal, most: Personal },
            served: routes!(contacts::correct),
        },
        shows(Public, Permission::ContactsRead, routes!(windows::show)),
        shows(Sensitive, Permission::ContactsRead, routes!(consent::show)),
        shows(Public, Permission::ConsentManage, routes!(consent::record)),
        needs(Permission::DecoysManage, routes!(decoys::mark)),
        needs(Permission::DecoysManage, routes!(decoys::unmark)),
        shows(Sensitive, Permission::MessagesRead, routes!(contacts::messages)),
        shows(Sensitive, Permission::MessagesRead, routes!(messages::list)),
        shows(Sensitive, Permission::MessagesRead, routes!(messages::show)),
        file(routes!(media::show)),
        file(routes!(media::details)),
        shows(Public, Permission::MediaRead, routes!(media::list)),
        file(routes!(media_links::make)),
        Route { access: Access::Open, served: routes!(media_links::follow) },
        shows(Public, Permission::MediaWrite, whole(routes!(uploads::upload))),
        shows(Public, Permission::MediaWrite, routes!(uploads::remove)),
        shows(Public, Permission::MessagesSend, routes!(sending::send)),
        shows(Public, Permission::MessagesSend, routes!(batches::send_batch)),
        shows(Public, Permission::MessagesSend, routes!(messages::cancel)),
        needs(Permission::EndpointsRead, routes!(endpoints::list)),
        needs(Permission::EndpointsRead, routes!(endpoints::show)),
        needs(Permission::EndpointsManage, routes!(endpoints::create)),
        needs(Permission::EndpointsManage, routes!(endpoints::change)),
        needs(Permission::EndpointsManage, routes!(endpoints::remove)),
        needs(Permission::EndpointsManage, routes!(endpoints::rotate_secret)),
        needs(Permission::DeliveriesRead, routes!(attempts::of_event)),
        needs(Permission::DeliveriesRead, routes!(attempts::list)),
        needs(Permission::DeliveriesRead, routes!(dead_letters::list)),
        needs(Permission::DeliveriesManage, routes!(dead_letters::redrive)),
        needs(Permission::DeliveriesManage, routes!(dead_letters::purge)),
        needs(Permission::DeliveriesRead, routes!(replays::list)),
        needs(Permission::DeliveriesRead, routes!(replays::show)),
        needs(Permission::DeliveriesManage, routes!(replays::create)),
        needs(Permission::DeliveriesManage, routes!(replays::cancel)),
        needs(Permission::DeliveriesManage, routes!(attempts::test)),
        needs(Permission::ChannelsRead, routes!(channels::list)),
        needs(Permission::ChannelsRead, routes!(channels::show)),
        needs(Permission::ChannelsRead, routes!(channel_state::show)),
        needs(Permission::TemplatesRead, routes!(templates::list)),
        needs(Permission::TemplatesWrite, routes!(templates::sync)),
        needs(Permission::ChannelsManage, routes!(channels::create)),
        needs(Permission::ChannelsManage, routes!(channels::change)),
        needs(Permission::ChannelsManage, routes!(channels::remove)),
        needs(Permission::NumbersManage, routes!(registration::set_pin)),
        needs(Permission::NumbersManage, routes!(registration::register)),
        needs(Permission::AppsRead, routes!(apps::list)),
        needs(Permission::AppsRead, routes!(apps::show)),
        needs(Permission::AppsManage, routes!(apps::create)),
        needs(Permission::AppsManage, routes!(apps::change)),
        needs(Permission::AppsManage, routes!(apps::remove)),
    ]
    .chain(of_the_house())
}

/// What those see to who run the gateway: its log, its keys, what it keeps and forgets.
fn of_the_house() -> impl Iterator<Item = Route> {
    one_by_one![
        needs(Permission::AuditRead, routes!(audit::list)),
        needs(Permission::AuditRead, routes!(audit::checkpoint)),
        needs(Permission::AuditRead, routes!(audit::proof)),
        needs(Permission::AuditRead, routes!(audit::tile)),
        needs(Permission::AuditRead, routes!(audit_scope::show)),
        needs(Permission::AuditRead, routes!(audit_scope::contacts)),
        needs(Permission::PrivacyRead, routes!(erasures::list)),
        needs(Permission::PrivacyErase, routes!(erasures::create)),
        needs(Permission::PrivacyRead, routes!(erasures::show)),
        needs(Permission::PrivacyRead, routes!(erasures::certificate)),
        needs(Permission::PrivacyErase, routes!(consent_proofs::find)),
        everything(Permission::PrivacyExport, routes!(exports::create)),
        needs(Permission::ExportsRead, routes!(exports::list)),
        needs(Permission::ExportsRead, routes!(exports::show)),
        everything(Permission::ExportsRead, routes!(exports::archive)),
        everything(Permission::ExportsRead, routes!(exports::link)),
        Route { access: Access::Open, served: routes!(exports::follow) },
        needs(Permission::HeldRead, routes!(holds::list)),
        needs(Permission::PrivacyHold, routes!(holds::create)),
        needs(Permission::PrivacyHold, routes!(holds::approve)),
        needs(Permission::PrivacyHold, routes!(holds::release)),
        needs(Permission::PrivacyRead, routes!(privacy_requests::list)),
        needs(Permission::PrivacyErase, routes!(privacy_requests::create)),
        needs(Permission::PrivacyRead, routes!(privacy_requests::show)),
        needs(Permission::PrivacyErase, routes!(privacy_requests::extend)),
        needs(Permission::PrivacyErase, routes!(privacy_requests::close)),
        needs(Permission::PrivacyHold, routes!(restrictions::put)),
        needs(Permission::PrivacyHold, routes!(restrictions::lift)),
        needs(Permission::HeldRead, routes!(restrictions::list)),
        needs(Permission::PrivacyRead, routes!(retention::show)),
        needs(Permission::PrivacyRead, routes!(record::show)),
        needs(Permission::AuditRead, routes!(posture::show)),
        needs(Permission::KeysRead, routes!(keys::list)),
        needs(Permission::KeysManage, routes!(keys::create)),
        needs(Permission::KeysManage, routes!(keys::revoke)),
        needs(Permission::KeysManage, routes!(key_changes::rotate)),
        needs(Permission::KeysManage, routes!(key_changes::unlock)),
        Route { access: Access::Open, served: routes!(key_changes::report) },
    ]
}

/// The API and its documentation. The documentation is open: it says nothing that is not in the source.
pub(in crate::http) fn router(state: AppState) -> Router {
    table()
        .fold(Router::new(), |router, route| serve(router, route, &state))
        .route("/openapi.json", get(docs::fixed("application/json", docs::of_programs)))
        .route("/docs", get(docs::fixed("text/html; charset=utf-8", docs::of_people)))
        .route("/docs/style.css", get(docs::fixed("text/css; charset=utf-8", || docs::STYLE.into())))
        .fallback(async || Problem::new(Code::NotFound))
        .method_not_allowed_fallback(async || Problem::new(Code::MethodNotAllowed))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(state)
}

fn serve(router: Router<AppState>, Route { access, served }: Route, state: &AppState) -> Router<AppState> {
    let (_schemas, mut paths, mut methods) = served;
    if cfg!(debug_assertions) {
        let documented = Arc::new(openapi::statuses(&mut paths, access));
        methods = methods.route_layer(from_fn_with_state(documented, only_what_is_documented));
    }
    if let Access::Needs { permission, least, .. } = access {
        methods = methods.route_layer(from_fn_with_state(Guard { state: state.clone(), permission, least }, authorise));
    }
    paths.paths.keys().fold(router, |router, path| router.route(path, methods.clone()))
}

/// Debug builds alone: a status that the documentation does not name becomes a 500, so that whatever test meets it fails.
async fn only_what_is_documented(
    State(documented): State<Arc<BTreeSet<String>>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    if documented.contains(response.status().as_str()) {
        return response;
    }
    let route = path.as_ref().map_or("", MatchedPath::as_str);
    tracing::error!(route, status = response.status().as_u16(), "this answer is not documented");
    Problem::new(Code::Internal).into_response()
}

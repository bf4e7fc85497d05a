//! `/v1/apps`: Meta apps, whose secrets sign the webhooks.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, request};
use super::fields::{AppSecretText, Name, VerifyTokenText};
use super::page::{self, Page};
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::clock::SharedClock;
use crate::crypto::random;
use crate::directory::{App, Directory};
use crate::ids::AppId;
use crate::secret::{AppSecret, VerifyToken};

request! {
    /// A new app.
    NewApp {
        /// Free text.
        name: Name,
        /// From the app's dashboard at Meta.
        app_secret: AppSecretText,
        /// What Meta repeats when it verifies the webhook URL. When absent, one is made and shown in the answer.
        verify_token: Option<VerifyTokenText>,
    }
}

request! {
    /// What is absent stays as it is.
    AppChange {
        /// Free text.
        name: Option<Name>,
        /// A new secret. The secret of before is accepted as well until it is dropped.
        app_secret: Option<AppSecretText>,
        /// True: the secret of before the last change is no longer accepted.
        drop_previous_secret: Option<bool>,
        /// A new verify token.
        verify_token: Option<VerifyTokenText>,
    }
}

/// An app. Its secrets are never shown.
#[derive(Serialize, ToSchema)]
#[schema(as = App)]
pub(super) struct AppJson {
    id: AppId,
    name: String,
    /// Whether a secret of before the last change is still accepted.
    has_previous_secret: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// An app that was just added.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedApp {
    #[serde(flatten)]
    app: AppJson,
    /// To be entered at Meta beside the webhook URL. Shown this once.
    verify_token: String,
}

impl From<&App> for AppJson {
    fn from(app: &App) -> Self {
        Self {
            id: app.id,
            name: app.name.clone(),
            has_previous_secret: app.previous_secret.is_some(),
            created_at: app.created_at,
        }
    }
}

fn find(directory: &Directory, who: &Caller, id: AppId) -> Result<App, Problem> {
    directory.snapshot().app(who.tenant, id).cloned().ok_or(Problem::new(Code::NotFound))
}

/// The apps, oldest first.
#[utoipa::path(
    get, path = "/v1/apps", tag = "Apps", operation_id = "list_apps",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of apps.", body = Page<AppJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    mut params: Params,
) -> Result<Json<Page<AppJson>>, Problem> {
    let (after, limit) = (params.cursor(), params.limit());
    params.finish()?;
    let snapshot = directory.snapshot();
    let mut apps: Vec<AppJson> =
        snapshot.apps.iter().filter(|app| app.tenant == who.tenant).map(AppJson::from).collect();
    apps.sort_by_key(|app| app.id);
    Ok(Json(page::of_settings(apps, |app| app.id.uuid(), after, limit)))
}

/// One app.
#[utoipa::path(
    get, path = "/v1/apps/{id}", tag = "Apps", operation_id = "show_app",
    params(("id" = AppId, Path, description = "The app.")),
    responses((status = 200, description = "The app.", body = AppJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(directory): State<Directory>,
    Target(id): Target<AppId>,
    params: Params,
) -> Result<Json<AppJson>, Problem> {
    params.finish()?;
    Ok(Json((&find(&directory, &who, id)?).into()))
}

/// Adds an app. From now on webhooks that it signs are accepted.
#[utoipa::path(
    post, path = "/v1/apps", tag = "Apps", operation_id = "create_app",
    request_body = NewApp,
    responses((status = 201, description = "The app.", body = CreatedApp)),
)]
pub(super) async fn create(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    State(clock): State<SharedClock>,
    params: Params,
    body::Json(new): body::Json<NewApp>,
) -> Result<(StatusCode, Json<CreatedApp>), Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let verify_token = new.verify_token.map_or_else(|| HEXLOWER.encode(&random::bytes::<24>()), |token| token.0);
    let (now, secret) = (clock.now(), AppSecret::new(new.app_secret.0));
    let app = App::new(who.tenant, AppId::new(now), new.name.0, secret, VerifyToken::new(verify_token.as_str()), now);
    trail.leave(&who, Action::AppCreated, "app", app.id.uuid()).await?;
    settled(directory.save_app(&app).await, ())?;
    Ok((StatusCode::CREATED, Json(CreatedApp { app: (&app).into(), verify_token })))
}

/// Changes an app, or rotates its secret.
///
/// To rotate: set `app_secret` to the new secret, then change it at Meta, then drop the previous one.
#[utoipa::path(
    patch, path = "/v1/apps/{id}", tag = "Apps", operation_id = "change_app",
    params(("id" = AppId, Path, description = "The app.")),
    request_body = AppChange,
    responses(
        (status = 200, description = "The app.", body = AppJson),
        (status = 409, description = "`conflict`: it was changed meanwhile; read it again."),
    ),
)]
pub(super) async fn change(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    Target(id): Target<AppId>,
    params: Params,
    body::Json(change): body::Json<AppChange>,
) -> Result<Json<AppJson>, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    // Another process may have changed it a moment ago.
    directory.reload().await?;
    let mut app = find(&directory, &who, id)?;
    if let Some(name) = change.name {
        app.name = name.0;
    }
    // The same secret again is no rotation: it would drop the one that is still in use elsewhere.
    if let Some(secret) = change.app_secret.filter(|secret| !app.secret.matches(&secret.0)) {
        app.previous_secret = Some(std::mem::replace(&mut app.secret, AppSecret::new(secret.0)));
    }
    if change.drop_previous_secret == Some(true) {
        app.previous_secret = None;
    }
    if let Some(token) = change.verify_token {
        app.verify_token = VerifyToken::new(token.0);
    }
    trail.leave(&who, Action::AppChanged, "app", id.uuid()).await?;
    settled(directory.save_app(&app).await, ())?;
    Ok(Json((&app).into()))
}

/// Removes an app. Webhooks that it signs are refused from now on.
#[utoipa::path(
    delete, path = "/v1/apps/{id}", tag = "Apps", operation_id = "remove_app",
    params(("id" = AppId, Path, description = "The app.")),
    responses((status = 204, description = "The app is gone.")),
)]
pub(super) async fn remove(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    Target(id): Target<AppId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    trail.leave(&who, Action::AppRemoved, "app", id.uuid()).await?;
    let there = settled(directory.remove_app(who.tenant, id).await, true)?;
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(Code::NotFound)) }
}

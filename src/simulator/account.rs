//! The business account: where its webhooks go, its number, its profile, its token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::errors::{GraphError, GraphResult};
use super::handle::SimulatorConfig;
use super::paging;
use super::platform::Platform;

/// Fields whose webhooks follow an override of the number or the WABA. All others go to the app's URL.
const OVERRIDABLE: [&str; 13] = [
    "messages",
    "message_echoes",
    "calls",
    "consumer_profile",
    "messaging_handovers",
    "group_lifecycle_update",
    "group_participants_update",
    "group_settings_update",
    "group_status_update",
    "smb_message_echoes",
    "smb_app_state_sync",
    "history",
    "account_settings_update",
];

/// What callers may change about the account.
pub(super) struct Account(Mutex<AccountState>);

/// See [`Account`].
pub(super) struct AccountState {
    pub(super) callback: Option<String>,
    pub(super) subscribed: bool,
    pub(super) waba_override: Option<String>,
    pub(super) number_override: Option<String>,
    pub(super) number: Map<String, Value>,
    profile: Map<String, Value>,
    /// Laid over what is said of the token.
    pub(super) token: Map<String, Value>,
}

impl Account {
    /// A subscribed account whose webhooks go to `callback`.
    pub(super) fn new(callback: Option<String>, config: &SimulatorConfig) -> Self {
        let number = json!({
            "id": config.phone_number_id,
            "display_phone_number": config.display_phone_number,
            "verified_name": "Simulated Business",
            "quality_rating": "GREEN",
            "code_verification_status": "VERIFIED",
            "name_status": "APPROVED",
            "status": "CONNECTED",
            "platform_type": "CLOUD_API",
            "throughput": {"level": "STANDARD"},
            "account_mode": "LIVE",
            "is_official_business_account": false,
            "whatsapp_business_manager_messaging_limit": "TIER_2K",
            "health_status": {"can_send_message": "AVAILABLE", "entities": [
                {"entity_type": "PHONE_NUMBER", "id": config.phone_number_id, "can_send_message": "AVAILABLE"},
                {"entity_type": "WABA", "id": config.waba_id, "can_send_message": "AVAILABLE"},
            ]},
        });
        let profile = json!({"messaging_product": "whatsapp", "about": "A simulated business.", "vertical": "OTHER"});
        Self(Mutex::new(AccountState {
            callback,
            subscribed: true,
            waba_override: None,
            number_override: None,
            number: number.as_object().cloned().unwrap_or_default(),
            profile: profile.as_object().cloned().unwrap_or_default(),
            token: Map::new(),
        }))
    }

    /// The state, locked.
    pub(super) fn state(&self) -> MutexGuard<'_, AccountState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the app's callback URL.
    pub(super) fn set_callback(&self, url: Option<String>) {
        self.state().callback = url;
    }

    /// Where webhooks of `field` go: number, then WABA, then app. Nowhere while the app is not subscribed.
    pub(super) fn callback_for(&self, field: &str) -> Option<String> {
        let state = self.state();
        if !state.subscribed {
            return None;
        }
        let overridden = state.number_override.as_ref().or(state.waba_override.as_ref());
        overridden.filter(|_| OVERRIDABLE.contains(&field)).or(state.callback.as_ref()).cloned()
    }

    /// The app's own callback URL.
    pub(super) fn app_callback(&self) -> Option<String> {
        self.state().callback.clone()
    }
}

/// `?fields=` of a lookup.
#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    pub(super) fields: Option<String>,
}

impl Platform {
    /// Refuses any object but the one phone number.
    pub(super) fn require_number(&self, verb: &str, id: &str) -> Result<(), GraphError> {
        if id == self.config.phone_number_id { Ok(()) } else { Err(GraphError::no_object(verb, id)) }
    }

    /// Refuses any object but the one WABA.
    pub(super) fn require_waba(&self, verb: &str, id: &str) -> Result<(), GraphError> {
        if id == self.config.waba_id { Ok(()) } else { Err(GraphError::no_object(verb, id)) }
    }
}

/// `GET /W/phone_numbers`.
pub(super) async fn list_numbers(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Fields>,
) -> GraphResult {
    platform.require_waba("get", &id)?;
    let number = Value::Object(platform.account.state().number.clone());
    Ok(Json(json!({
        "data": [paging::select(&number, query.fields.as_deref())],
        "paging": {"cursors": {"before": "QVFIUm", "after": "QVFIUm"}},
    })))
}

/// `GET /P/whatsapp_business_profile`.
pub(super) async fn show_profile(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Fields>,
) -> GraphResult {
    platform.require_number("get", &id)?;
    let profile = Value::Object(platform.account.state().profile.clone());
    Ok(Json(json!({"data": [paging::select(&profile, query.fields.as_deref())]})))
}

/// `POST /P/whatsapp_business_profile`: fields that are not named stay as they are.
pub(super) async fn update_profile(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let changes = super::validation::object(&body)?;
    platform.account.state().profile.extend(changes);
    Ok(Json(json!({"success": true})))
}

/// `?input_token=` of `debug_token`.
#[derive(Deserialize)]
pub(super) struct Inspected {
    input_token: Option<String>,
}

/// `GET /debug_token`: a system user's token, which does not expire.
pub(super) async fn debug_token(State(platform): State<Arc<Platform>>, Query(query): Query<Inspected>) -> GraphResult {
    let token = query.input_token.ok_or_else(|| GraphError::parameter("The parameter input_token is required."))?;
    if !platform.config.access_token.matches(&token) {
        return Ok(Json(
            json!({"data": {"is_valid": false, "scopes": [], "error": {"code": 190, "message": "Invalid"}}}),
        ));
    }
    let mut data = Map::from_iter([
        ("app_id".to_owned(), json!("670843887433847")),
        ("type".to_owned(), json!("SYSTEM_USER")),
        ("application".to_owned(), json!("Simulated App")),
        ("is_valid".to_owned(), json!(true)),
        ("expires_at".to_owned(), json!(0)),
        ("scopes".to_owned(), json!(["whatsapp_business_management", "whatsapp_business_messaging"])),
    ]);
    data.extend(platform.account.state().token.clone());
    Ok(Json(json!({ "data": data })))
}

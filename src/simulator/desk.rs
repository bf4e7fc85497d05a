//! The front desk of the business: what callers keep about the number beside messages, files and templates.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

/// See [`DeskState`].
pub(super) struct Desk(Mutex<DeskState>);

/// Everything that is kept.
pub(super) struct DeskState {
    pub(super) registered: bool,
    pub(super) pin: Option<String>,
    /// The code that was asked for last.
    pub(super) code_sent: bool,
    pub(super) settings: Map<String, Value>,
    pub(super) commerce: Map<String, Value>,
    pub(super) automation: Map<String, Value>,
    pub(super) public_key: Option<String>,
    pub(super) blocked: Vec<Value>,
    pub(super) codes: Vec<Value>,
    pub(super) flows: Vec<Value>,
    pub(super) uploads: HashMap<String, Upload>,
}

/// A file that comes in parts.
pub(super) struct Upload {
    pub(super) length: u64,
    pub(super) received: Vec<u8>,
}

impl Desk {
    /// A number that is registered, with nothing set.
    pub(super) fn new() -> Self {
        let commerce = json!({"id": "527759822865714", "is_catalog_visible": true, "is_cart_enabled": true});
        Self(Mutex::new(DeskState {
            registered: true,
            pin: None,
            code_sent: false,
            settings: Map::new(),
            commerce: commerce.as_object().cloned().unwrap_or_default(),
            automation: Map::new(),
            public_key: None,
            blocked: Vec::new(),
            codes: Vec::new(),
            flows: Vec::new(),
            uploads: HashMap::new(),
        }))
    }

    /// The state, locked.
    pub(super) fn state(&self) -> MutexGuard<'_, DeskState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Why somebody reads or changes something, and for which request: what an entry of the audit log says beside who and what.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use super::Caller;
use crate::audit::{Act, Action, Actor, Object};
use crate::ids::AuditEntryId;

/// Why somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An application does its work through the API.
    Application,
    /// An operator looks, at the command line.
    Operation,
}

impl Purpose {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Operation => "operation",
        }
    }
}

/// The purpose of one request or command, and the receipts for what was recorded on its way. Clones share the receipts.
#[derive(Debug, Clone)]
pub struct Errand {
    purpose: Purpose,
    /// A reason code out of a closed list; empty where none is asked for.
    reason: &'static str,
    request: Arc<str>,
    /// Names of members of the request's body, none of them invented by the caller.
    members: Arc<Mutex<String>>,
    receipts: Arc<Mutex<Vec<AuditEntryId>>>,
    budget: Arc<Mutex<Option<Budget>>>,
}

/// What is left of the budget of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Contacts that it may be shown in an hour.
    pub contacts: u32,
    /// How many of them it has not been shown.
    pub left: u32,
}

/// Receipts that are remembered for one request.
const MOST_RECEIPTS: usize = 16;

impl Errand {
    /// That of a request with this id: hexadecimal digits and hyphens, because it stands in the log.
    #[must_use]
    pub fn application(request: &str) -> Self {
        Self {
            purpose: Purpose::Application,
            reason: "",
            request: request.into(),
            members: Arc::default(),
            receipts: Arc::default(),
            budget: Arc::default(),
        }
    }

    /// That of somebody at the command line.
    #[must_use]
    pub fn operation() -> Self {
        Self { purpose: Purpose::Operation, ..Self::application("") }
    }

    /// The same for a reason that was given, by its code.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    /// Why.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What `who` does on this errand.
    #[must_use]
    pub fn act(&self, who: &Caller, action: Action, object: Object) -> Act {
        let actor = match self.purpose {
            Purpose::Application => Actor::key(who.key),
            Purpose::Operation => Actor::OPERATOR,
        };
        Act {
            purpose: Cow::Borrowed(self.purpose.as_str()),
            reason: Cow::Borrowed(self.reason),
            request: self.request.to_string(),
            details: self.members.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..Act::new(who.tenant, actor, action, object)
        }
    }

    /// Names the members of the body: all of them members that we know, and no values.
    pub fn touch(&self, members: &[String]) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = members.join(",");
    }

    /// Remembers an entry that was left on the way.
    pub fn keep(&self, receipt: AuditEntryId) {
        let mut receipts = self.receipts.lock().unwrap_or_else(PoisonError::into_inner);
        if receipts.len() < MOST_RECEIPTS {
            receipts.push(receipt);
        }
    }

    /// Takes the entries that were left since it was last asked: for those who stay, and tell of them as they go.
    #[must_use]
    pub fn take_receipts(&self) -> Vec<AuditEntryId> {
        std::mem::take(&mut *self.receipts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers what is left of the caller's budget.
    pub fn note_budget(&self, budget: Budget) {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(budget);
    }

    /// What is left of the caller's budget, when something was spent of one.
    #[must_use]
    pub fn budget(&self) -> Option<Budget> {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries that were left on the way, the first of them.
    #[must_use]
    pub fn receipts(&self) -> Vec<AuditEntryId> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

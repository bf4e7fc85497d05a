//! What goes wrong next, by surface.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{media, uploads};

/// A part of the Graph side that can be made to fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface {
    Messages,
    Media,
    Download,
    Templates,
    Account,
}

impl Surface {
    /// The surface that a request path belongs to.
    pub(super) fn of(path: &str) -> Self {
        match path.rsplit('/').next().unwrap_or_default() {
            "messages" | "marketing_messages" => Self::Messages,
            "media" | "uploads" => Self::Media,
            id if id.starts_with(uploads::PREFIX) => Self::Media,
            "message_templates" => Self::Templates,
            "" => Self::Download,
            id if media::is_media_id(id) => Self::Media,
            _ => Self::Account,
        }
    }
}

/// A broken connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Break {
    /// Before anything is processed, by TCP reset.
    Reset,
    /// After everything is processed, without an answer.
    LostAnswer,
}

/// One kind of trouble. The default is none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) code: Option<u32>,
    pub(super) http: Option<u16>,
    pub(super) retry_after: Option<u32>,
    pub(super) delay_ms: u64,
    pub(super) failed_status: Option<u32>,
    pub(super) connection: Option<Break>,
}

/// `"reset"` and `"lost_answer"` are short for an object with only `connection`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum FaultSpec {
    Short(Break),
    Full(Fault),
}

impl FaultSpec {
    fn fault(&self) -> Fault {
        match self {
            Self::Short(connection) => Fault { connection: Some(*connection), ..Fault::default() },
            Self::Full(fault) => fault.clone(),
        }
    }
}

/// The faults in force, as `PUT /control/faults` takes them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FaultPlan {
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<FaultSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<FaultSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<FaultSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    templates: Option<FaultSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<FaultSpec>,
    /// How many requests are still hit, over all surfaces; `None` is no end.
    times: Option<u64>,
}

/// The plan that requests draw from.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<FaultPlan>);

impl Faults {
    /// Draws the fault for one request and counts it.
    pub(super) fn take(&self, surface: Surface) -> Option<Fault> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = match surface {
            Surface::Messages => &plan.messages,
            Surface::Media => &plan.media,
            Surface::Download => &plan.download,
            Surface::Templates => &plan.templates,
            Surface::Account => &plan.account,
        };
        let fault = spec.as_ref()?.fault();
        match &mut plan.times {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        Some(fault)
    }

    /// Replaces the plan.
    pub(super) fn set(&self, plan: FaultPlan) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    /// The plan as it stands, with the count that is left.
    pub(super) fn plan(&self) -> FaultPlan {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_ends_by_itself_and_leaves_other_surfaces_alone() {
        let faults = Faults::default();
        faults.set(serde_json::from_str(r#"{"messages": {"code": 131056}, "times": 2}"#).unwrap());
        assert!(faults.take(Surface::Media).is_none());
        assert_eq!(faults.take(Surface::Messages).unwrap().code, Some(131_056));
        assert!(faults.take(Surface::Messages).is_some());
        assert!(faults.take(Surface::Messages).is_none());
    }

    #[test]
    fn a_fault_may_be_named_by_one_word() {
        let faults = Faults::default();
        faults.set(serde_json::from_str(r#"{"messages": "lost_answer"}"#).unwrap());
        assert_eq!(faults.take(Surface::Messages).unwrap().connection, Some(Break::LostAnswer));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<FaultPlan>(r#"{"messages": {"cod": 1}}"#).is_err());
    }
}

//! Who may do what, and the one door behind which stored content is opened for people and applications.

mod admission;
pub mod alarms;
pub mod api_key;
mod budget;
pub mod bursts;
pub mod caller;
pub mod consent;
mod correct;
pub mod decoys;
pub mod door;
pub mod errand;
pub mod exports;
pub mod links;
pub mod lookout;
pub mod matrix;
pub mod media;
pub mod message_views;
mod open;
pub mod permissions;
mod readiness;
mod reason;
pub mod sight;
pub mod tickets;
pub mod usage;
pub mod views;

pub use admission::Refusals;
pub use alarms::Alarms;
pub use caller::{Caller, Denied, Refused};
pub use door::{Door, DoorError};
pub use errand::{Errand, Purpose};
pub use lookout::Lookout;
pub use matrix::Role;
pub use permissions::{Permission, Permissions};
pub use reason::Reason;
pub use sight::Sight;
pub use tickets::Tickets;

pub use crate::domain::field_class::FieldClass;

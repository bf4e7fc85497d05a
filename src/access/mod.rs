//! Who may do what, and the one door behind which stored content is opened for people and applications.

mod admission;
pub mod api_key;
pub mod caller;
pub mod door;
pub mod errand;
pub mod lookout;
mod message_views;
mod open;
pub mod permissions;
pub mod views;

pub use admission::Refusals;
pub use caller::{Caller, Denied};
pub use door::{Door, DoorError};
pub use errand::{Errand, Purpose};
pub use lookout::Lookout;
pub use permissions::{Permission, Permissions};

//! Who may do what, and the one door behind which stored content is opened for people and applications.

pub mod api_key;
pub mod caller;
pub mod door;
pub mod lookout;
mod message_views;
mod open;
pub mod permissions;
pub mod views;

pub use caller::{Caller, Denied};
pub use door::{Door, DoorError, Purpose};
pub use lookout::Lookout;
pub use permissions::{Permission, Permissions};

//! What the gateway talks about, as plain values: no async, no I/O, no SQL, no wire format.

pub mod channel;
pub mod consent;
pub mod door;
pub mod endpoint;
pub mod event;
pub mod field_class;
pub mod file;
pub mod in_chat;
pub mod keeping;
pub mod mask;
pub mod message;
pub mod person;
pub mod predicate;
pub mod retry;
pub mod template;
pub mod window;

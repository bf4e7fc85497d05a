//! The audit log: who read or changed what, written before it happens, in a tree that proves itself (docs/audit.md).
//!
//! An entry holds no person's data: ids of ours, words of closed lists, counts, and a commitment to the contacts it is about that
//! says nothing once their keys are gone.

mod act;
mod encoding;
mod entry;
mod queue;
mod recorder;
mod subjects;

pub use act::{Act, Action, Actor, ActorKind, Decision, Object};
pub use entry::{Entry, SALT, commitment};
pub use recorder::{Audit, AuditError};
pub use subjects::Subjects;

//! The audit log: who read or changed what, written before it happens, in a tree that proves itself (docs/audit.md).
//!
//! An entry holds no person's data: ids of ours, words of closed lists, counts, and a commitment to the contacts it is about that
//! says nothing once their keys are gone.

mod act;
mod check;
mod classes;
mod cosigning;
mod encoding;
mod entry;
mod founding;
mod key_steps;
mod pruning;
mod queue;
mod reach;
mod reader;
mod recorder;
mod sequencer;
mod statements;
mod subjects;
mod sums;
mod witnesses;
mod witnessing;

pub use act::{Act, Action, Actor, ActorKind, Decision, Object};
pub use check::{CheckError, Checked, Damage};
pub use classes::DataClass;
pub use entry::{Entry, SALT, commitment};
pub use founding::FoundingError;
pub use reach::{ActionSum, ClassSum, Reached, Sum};
pub use reader::{Logged, ProofError, Which};
pub use recorder::{Audit, AuditError};
pub use sequencer::run_lane;
pub use statements::Statement;
pub use subjects::Subjects;
pub use witnesses::{BadWitnesses, Witness, Witnesses};
pub use witnessing::Witnessing;

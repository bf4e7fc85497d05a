//! Transparency-log formats, as pure code: a Merkle tree after RFC 6962, and around it the formats of C2SP: tiles, checkpoints as
//! signed notes, cosignatures of witnesses, proofs that verify offline. Knows nothing of what is logged.

pub mod checkpoint;
pub mod edge;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;

//! Meta's side.

pub mod signature;

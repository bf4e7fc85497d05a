//! Cryptography without domain nouns: the envelope, the wrapping of keys, keyed hashes, randomness, and files in the format of age.
//! `docs/envelope.md` specifies every byte that is stored.

pub mod age;
pub mod cell;
pub mod chunks;
pub mod context;
pub mod envelope;
pub mod keyed_hash;
pub mod keys;
pub mod kms;
pub mod random;
pub mod sharing;
pub mod versions;
pub mod wrap;

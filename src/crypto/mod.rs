//! Cryptography without domain nouns: the envelope, the key tree's wrapping, keyed hashes, randomness.
//! `docs/envelope.md` specifies every byte.

pub mod random;

//! KMS providers that are reached from this machine: each wraps the root share of the key tree with a secret that never leaves it
//! (`crypto::kms`). The secret in a file or in the environment needs no provider of its own.

#[cfg(feature = "kms-aws")]
pub mod aws;
#[cfg(feature = "kms-pkcs11")]
mod blocking;
mod bounded;
mod http;
pub mod openbao;
#[cfg(feature = "kms-pkcs11")]
pub mod pkcs11;
mod sealed_share;

pub use bounded::Bounded;
pub use http::BadSettings;

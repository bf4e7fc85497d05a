//! Why a batch was not written, and what that calls for.

use crate::directory::ConsentError;
use crate::directory::contacts::ResolveError;
use crate::keyring::KeyringError;
use crate::store::StoreError;

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the batch could not be stored")]
    Store(#[from] StoreError),
    #[error("the batch could not be sealed")]
    Keys(#[from] KeyringError),
    /// Somebody in the batch was erased since this process remembered them.
    #[error("somebody in the batch was erased meanwhile")]
    Erased,
}

impl From<ResolveError> for WriteError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Keys(error) => Self::Keys(error),
        }
    }
}

impl From<ConsentError> for WriteError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Store(error) => Self::Store(error),
            ConsentError::Keys(error) => Self::Keys(error),
        }
    }
}

impl WriteError {
    /// Whether it is a value of one of the items, or the key of one person, that is at fault, and not the database.
    pub(super) fn blames_an_item(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_retryable(),
            Self::Keys(KeyringError::Damaged { level }) => *level == "dek",
            Self::Keys(error) => matches!(error, KeyringError::Gone | KeyringError::Forgotten),
            Self::Erased => false,
        }
    }

    /// Whether people may have been erased that this process remembers: their keys are gone, or the fence is up.
    pub(super) const fn may_tell_of_erasure(&self) -> bool {
        matches!(self, Self::Erased | Self::Keys(KeyringError::Gone | KeyringError::Forgotten))
    }

    /// Whether the same batch may succeed at once. It dedupes itself, so that one that was committed all the same is no matter.
    pub(super) const fn is_broken_off(&self) -> bool {
        matches!(self, Self::Store(error) | Self::Keys(KeyringError::Store(error)) if error.is_broken_off())
    }
}

/// An error with its causes, for the log. None of ours holds a value.
pub(super) fn chain(error: &WriteError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

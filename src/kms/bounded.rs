//! No call of a KMS lasts for ever, whichever it is, and each is counted.

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use uuid::Uuid;

use crate::crypto::keys::KeyBytes;
use crate::crypto::kms::{Kms, KmsError, KmsFuture};
use crate::telemetry::KMS_CALLS;

/// How long a call may take. The KMS is asked when a process starts and once in a while, never for a message.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// A KMS that answers within ten seconds, or counts as one that does not answer.
#[derive(Debug)]
pub struct Bounded(Arc<dyn Kms>);

impl Bounded {
    /// Bounds what may be far away.
    #[must_use]
    pub fn new(kms: Arc<dyn Kms>) -> Self {
        Self(kms)
    }
}

/// A call under way. Who gives up before its end has met a silent KMS.
struct Call {
    outcome: &'static str,
}

impl Drop for Call {
    fn drop(&mut self) {
        counter!(KMS_CALLS, "outcome" => self.outcome).increment(1);
    }
}

async fn bounded<T>(answer: KmsFuture<'_, T>) -> Result<T, KmsError> {
    let mut call = Call { outcome: "silent" };
    let answer = tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(KmsError::Unavailable));
    call.outcome = match &answer {
        Ok(_) => "answered",
        Err(KmsError::Refused) => "refused",
        Err(KmsError::Denied) => "denied",
        Err(KmsError::Unavailable) => "silent",
    };
    answer
}

impl Kms for Bounded {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn wrap<'a>(&'a self, installation: Uuid, share: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>> {
        Box::pin(bounded(self.0.wrap(installation, share)))
    }

    fn unwrap<'a>(&'a self, installation: Uuid, wrapped: &'a [u8]) -> KmsFuture<'a, KeyBytes> {
        Box::pin(bounded(self.0.unwrap(installation, wrapped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[derive(Debug)]
    struct Silent;

    impl Kms for Silent {
        fn name(&self) -> &'static str {
            "silent"
        }

        fn wrap<'a>(&'a self, _: Uuid, _: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>> {
            Box::pin(std::future::pending())
        }

        fn unwrap<'a>(&'a self, _: Uuid, _: &'a [u8]) -> KmsFuture<'a, KeyBytes> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kms_that_never_answers_is_given_up() {
        let (kms, began) = (Bounded::new(Arc::new(Silent)), Instant::now());
        assert_eq!(kms.unwrap(Uuid::nil(), b"wrapped").await.unwrap_err(), KmsError::Unavailable);
        let share = crate::crypto::keys::random_key();
        assert_eq!(kms.wrap(Uuid::nil(), &share).await.unwrap_err(), KmsError::Unavailable);
        assert_eq!(began.elapsed(), TIMEOUT * 2);
    }
}

//! Whether the KMS still answers. The root stays in memory, so that what comes in is sealed while the KMS is away; but what was sealed is
//! opened only for as long as an opened key may stay in memory (`keys.cache_ttl_seconds`) after the KMS was last heard of. Whoever takes
//! the KMS away, or the secret in it, has thereby locked what is stored.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Keyring, KeyringError};
use crate::crypto::kms::KmsError;
use crate::store::StoreError;

/// When the KMS was last heard of, by our clock, in milliseconds since 1970.
#[derive(Debug)]
pub(super) struct KmsWatch {
    heard: AtomicI64,
    /// Whether it was asked since, and did not open the root.
    is_silent: AtomicBool,
    grace: Duration,
    /// Held by whoever asks: when it last did not answer, for those who were waiting meanwhile.
    asking: Mutex<Option<Instant>>,
}

/// After the KMS did not answer, whoever wants to open is refused for so long without asking it.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
/// Whoever wants to open waits no longer than this for the KMS. One that answers later is heard by those who ask it unasked.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

impl KmsWatch {
    /// It has just opened the root.
    pub(super) fn begin(now: OffsetDateTime, grace: std::time::Duration) -> Self {
        let grace = Duration::try_from(grace).unwrap_or(Duration::MAX);
        let heard = AtomicI64::new(millis(now));
        Self { heard, is_silent: AtomicBool::default(), grace, asking: Mutex::default() }
    }

    fn hear(&self, now: OffsetDateTime) {
        self.heard.store(millis(now), Ordering::Relaxed);
        self.is_silent.store(false, Ordering::Relaxed);
    }

    fn miss(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    fn age(&self, now: OffsetDateTime) -> Duration {
        Duration::milliseconds(millis(now).saturating_sub(self.heard.load(Ordering::Relaxed)))
    }

    /// A clock that was set back is no reason to go on: an age below zero is an old one.
    fn is_in_time(&self, now: OffsetDateTime) -> bool {
        let age = self.age(now);
        age > -Duration::MINUTE && age < self.grace
    }
}

fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

impl Keyring {
    /// Refuses to open once the KMS has been silent for too long, and does not answer now either.
    pub(super) async fn allow_opening(&self) -> Result<(), KeyringError> {
        if self.kms_is_in_time() {
            return Ok(());
        }
        let mut failed = self.inner.kms.asking.lock().await;
        if self.kms_is_in_time() {
            return Ok(());
        }
        if failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(KeyringError::Kms(KmsError::Unavailable));
        }
        // Those who wait behind this one are refused with it, so that nobody waits for more than one.
        let has_answered = matches!(timeout(PATIENCE, self.ask_kms()).await, Ok(Ok(())));
        if !has_answered {
            self.inner.kms.miss();
        }
        *failed = (!has_answered).then(Instant::now);
        // Refused is no verdict on a stored value here: whoever wants to read comes back when it has been put right.
        if has_answered { Ok(()) } else { Err(KeyringError::Kms(KmsError::Unavailable)) }
    }

    /// Has the KMS unwrap the root share once more. To be called several times within `keys.cache_ttl_seconds`.
    pub async fn ask_kms(&self) -> Result<(), KeyringError> {
        let inner = &self.inner;
        let row = inner.store.find_installation().await?.ok_or(StoreError::Unavailable)?;
        match inner.top.share(&row).await {
            Ok(_) => inner.kms.hear(inner.clock.now()),
            Err(error) => {
                inner.kms.miss();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether the KMS did not open the root when it was last asked to. What is stored may still be opened for a while.
    #[must_use]
    pub fn kms_is_silent(&self) -> bool {
        self.inner.kms.is_silent.load(Ordering::Relaxed)
    }

    /// How long ago the KMS was last heard of.
    #[must_use]
    pub fn kms_heard_ago(&self) -> Duration {
        self.inner.kms.age(self.inner.clock.now())
    }

    /// Whether what is stored can be opened, as far as the KMS is asked for it.
    #[must_use]
    pub fn kms_is_in_time(&self) -> bool {
        self.inner.kms.is_in_time(self.inner.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_word_counts_until_it_has_been_silent_for_too_long() {
        let begin = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let watch = KmsWatch::begin(begin, std::time::Duration::from_mins(5));
        assert!(watch.is_in_time(begin + Duration::seconds(299)));
        let late = begin + Duration::seconds(300);
        assert!(!watch.is_in_time(late));
        watch.hear(late);
        assert!(watch.is_in_time(late));
        assert!(!watch.is_in_time(begin), "the clock was set back by far");
    }
}

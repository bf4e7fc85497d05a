//! The only caller of "now". Code that needs the time is handed a [`Clock`]; tests hand it one they drive.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;

/// A source of time that can also be waited on.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present, in UTC.
    fn now(&self) -> OffsetDateTime;
    /// Resolves when [`Clock::now`] has reached `when`.
    fn wait_until(&self, when: OffsetDateTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// A clock shared by every room.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the machine")]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn wait_until(&self, when: OffsetDateTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let wait = Duration::try_from(when - self.now()).unwrap_or(Duration::ZERO);
        Box::pin(tokio::time::sleep(wait))
    }
}

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<OffsetDateTime>,
    moved: watch::Sender<()>,
}

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: OffsetDateTime) -> Self {
        Self { now: Mutex::new(start), moved: watch::Sender::new(()) }
    }

    /// Moves the clock by `step`, which may be negative, and wakes everyone who waits.
    pub fn advance(&self, step: time::Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += step;
        self.moved.send_replace(());
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, when: OffsetDateTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // Subscribed before the first look, so that a move in between is not missed.
            let mut moved = self.moved.subscribe();
            while self.now() < when && moved.changed().await.is_ok() {}
        })
    }
}

//! A clock that runs faster than the machine's, the same in every process of a run.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use time::OffsetDateTime;
use waxseal::clock::{Clock, SystemClock};

/// Seconds that the gateways see pass in one. The ladder's 5 s, 30 s, 2 min, 10 min become 0.2 s, 1 s, 4 s, 20 s.
const SPEED: u32 = 30;

/// Shows the machine's time when the run began, and runs on from there.
#[derive(Debug, Clone, Copy)]
pub struct FastClock {
    pub began: OffsetDateTime,
}

impl Clock for FastClock {
    fn now(&self) -> OffsetDateTime {
        self.began + (SystemClock.now() - self.began) * SPEED
    }

    fn wait_until(&self, when: OffsetDateTime) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let wait = Duration::try_from(when - self.now()).unwrap_or(Duration::ZERO) / SPEED;
        Box::pin(tokio::time::sleep(wait))
    }
}

//! In what order and how fast an endpoint is delivered to.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

/// What an endpoint is promised about the order of its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing: each event goes as soon as it can.
    #[default]
    None,
    /// The events of a contact come one after the other, in the order of their storage. One that fails holds back the later
    /// ones of its contact until it is delivered or given up.
    Block,
    /// The same, but after so many failed attempts it no longer holds them back.
    Skip {
        /// Failed attempts, 1 to 12.
        after: NonZeroU16,
    },
}

impl Order {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Block => "block",
            Self::Skip { .. } => "skip",
        }
    }

    /// From the stable name and the number of attempts.
    #[must_use]
    pub fn parse(text: &str, after: Option<NonZeroU16>) -> Option<Self> {
        match (text, after) {
            ("none", None) => Some(Self::None),
            ("block", None) => Some(Self::Block),
            ("skip", Some(after)) => Some(Self::Skip { after }),
            _ => None,
        }
    }

    /// The number of attempts, where there is one.
    #[must_use]
    pub const fn after(self) -> Option<NonZeroU16> {
        match self {
            Self::Skip { after } => Some(after),
            Self::None | Self::Block => None,
        }
    }
}

/// In what order and how fast an endpoint is delivered to. `None`: as the configuration of the gateway says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// The order.
    pub order: Order,
    /// Requests that may begin in a second. `None`: no limit.
    pub max_per_second: Option<NonZeroU32>,
    /// Requests at the same time.
    pub max_in_flight: Option<NonZeroU16>,
    /// One request, from the connection to the end of the answer.
    pub timeout: Option<Duration>,
}

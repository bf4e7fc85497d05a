//! `[send]`: messages to Meta, and what is asked before they go.

use std::str::FromStr;
use std::time::Duration;

use super::reader::Reader;

/// Messages a second through one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throughput {
    /// As Meta reports for each number.
    Reported,
    /// This many.
    Fixed(u32),
    /// No limit of ours.
    Unlimited,
}

/// Not one of the three forms.
#[derive(Debug)]
pub struct NoThroughput;

impl FromStr for Throughput {
    type Err = NoThroughput;

    fn from_str(text: &str) -> Result<Self, NoThroughput> {
        match text {
            "reported" => Ok(Self::Reported),
            "unlimited" => Ok(Self::Unlimited),
            _ => text.parse().ok().filter(|most| (1..=100_000).contains(most)).map(Self::Fixed).ok_or(NoThroughput),
        }
    }
}

/// Messages to Meta.
#[derive(Debug, Clone)]
pub struct SendConfig {
    /// Requests in flight for one channel.
    pub max_in_flight: usize,
    /// How many messages a second.
    pub messages_per_second: Throughput,
    /// Whether what one person gets is paced as Meta asks.
    pub pair_limit: bool,
    /// When a message is refused because the window is closed.
    pub check_window: WindowCheck,
    /// How long before its end a window is told of; zero: never.
    pub window_closing: Duration,
    /// When a marketing message is refused because of what the person said.
    pub check_consent: ConsentCheck,
    /// Words that stop marketing.
    pub stop_words: Vec<String>,
    /// Words that allow it again.
    pub start_words: Vec<String>,
    /// Whether messages are compared with their templates.
    pub check_templates: bool,
}

/// When a free-form message is refused because of the customer service window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowCheck {
    /// When the last message of the person is known and too old.
    Known,
    /// Also when none is known.
    Strict,
    /// Never.
    Off,
}

impl FromStr for WindowCheck {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "known" => Ok(Self::Known),
            "strict" => Ok(Self::Strict),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

/// When marketing is refused because of what the person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentCheck {
    /// When they forbade it.
    OptOut,
    /// Also when they never allowed it.
    OptIn,
    /// Never.
    Off,
}

impl FromStr for ConsentCheck {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "opt_out" => Ok(Self::OptOut),
            "opt_in" => Ok(Self::OptIn),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

impl SendConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let max_in_flight = reader.number("send.max_in_flight", 1..=1024);
        let expected = "\"reported\", \"unlimited\" or a whole number from 1 to 100000";
        let messages_per_second = reader.parsed("send.messages_per_second", expected);
        let pair_limit = reader.flag("send.pair_limit");
        let check_window = reader.parsed("send.check_window", "known, strict or off");
        let closing: Option<u64> = reader.number("send.window_closing_minutes", 0..=1380);
        let check_consent = reader.parsed("send.check_consent", "opt_out, opt_in or off");
        let stop_words = reader.list("send.stop_words", "words of at most 64 letters");
        let start_words = reader.list("send.start_words", "words of at most 64 letters");
        let check_templates = reader.flag("send.check_templates");
        Some(Self {
            max_in_flight: max_in_flight?,
            messages_per_second: messages_per_second?,
            pair_limit: pair_limit?,
            check_window: check_window?,
            window_closing: Duration::from_secs(closing? * 60),
            check_consent: check_consent?,
            stop_words: stop_words?,
            start_words: start_words?,
            check_templates: check_templates?,
        })
    }
}

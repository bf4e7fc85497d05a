//! `[deliver]` and `[send]`: how many requests leave at once, and where they may go.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Reader;
use crate::secret::ProxyUrl;

/// Deliveries to endpoints.
#[derive(Debug, Clone)]
pub struct DeliverConfig {
    /// How long an endpoint has for its whole answer.
    pub timeout: Duration,
    /// Requests in flight to one endpoint.
    pub max_in_flight: usize,
    /// Days after which an endpoint that accepts nothing is disabled; 0: never.
    pub disable_after_days: u16,
    /// Whether processes call each other when something is owed.
    pub notify: bool,
    /// Private networks that endpoints may live in.
    pub allowed_networks: Vec<IpNet>,
    /// Hosts that may be reached by plain http and at private addresses; in lower case.
    pub allowed_hosts: Vec<String>,
    /// Whether endpoints may be on this machine.
    pub allow_loopback: bool,
    /// What endpoints are reached through.
    pub proxy: Option<ProxyUrl>,
    /// A file with certificates of authorities that are believed beside the system's.
    pub authorities_file: Option<PathBuf>,
}

impl DeliverConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let timeout = reader.millis("deliver.timeout_ms", 100..=120_000);
        let max_in_flight = reader.number("deliver.max_in_flight", 1..=1024);
        let disable_after_days = reader.number("deliver.disable_after_days", 0..=365);
        let notify = reader.flag("deliver.notify");
        let allowed_networks = reader.list("deliver.allowed_networks", "networks such as 10.0.0.0/8");
        let allowed_hosts: Option<Vec<String>> = reader.list("deliver.allowed_hosts", "host names");
        let allow_loopback = reader.flag("deliver.allow_loopback");
        let proxy = reader.secret("deliver.proxy").map(ProxyUrl::new);
        let authorities_file = reader.path("deliver.authorities_file");
        Some(Self {
            timeout: timeout?,
            max_in_flight: max_in_flight?,
            disable_after_days: disable_after_days?,
            notify: notify?,
            allowed_networks: allowed_networks?,
            allowed_hosts: allowed_hosts?.iter().map(|host| host.to_ascii_lowercase()).collect(),
            allow_loopback: allow_loopback?,
            proxy,
            authorities_file,
        })
    }
}

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
}

impl SendConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let max_in_flight = reader.number("send.max_in_flight", 1..=1024);
        let expected = "\"reported\", \"unlimited\" or a whole number from 1 to 100000";
        let messages_per_second = reader.parsed("send.messages_per_second", expected);
        let pair_limit = reader.flag("send.pair_limit");
        Some(Self { max_in_flight: max_in_flight?, messages_per_second: messages_per_second?, pair_limit: pair_limit? })
    }
}

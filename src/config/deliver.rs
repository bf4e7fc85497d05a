//! `[deliver]`: how many requests leave at once, and where they may go.

use std::path::PathBuf;
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

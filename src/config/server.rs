//! `[server]`: where the three listeners are, and how long a shutdown may take.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Reader;

/// Listeners and shutdown.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Serves `/webhook` alone; the only one that may be reached from outside.
    pub public_listen: SocketAddr,
    /// Serves the API and the Graph mirror.
    pub internal_listen: SocketAddr,
    /// Serves health and metrics.
    pub admin_listen: SocketAddr,
    /// Proxies that are believed when they say in `X-Forwarded-For` whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// How long work in flight may go on after the signal to stop.
    pub drain: Duration,
}

impl ServerConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let keys = ["server.public_listen", "server.internal_listen", "server.admin_listen"];
        let [public, internal, admin] = keys.map(|key| address(reader, key));
        let drain = reader.seconds("server.drain_seconds", 1..=600);
        let trusted_proxies = reader.list("server.trusted_proxies", "networks such as 10.0.0.0/8");
        let config = Self {
            public_listen: public?,
            internal_listen: internal?,
            admin_listen: admin?,
            trusted_proxies: trusted_proxies?,
            drain: drain?,
        };
        config.refuse_shared_addresses(reader);
        Some(config)
    }

    /// Two listeners on one address would fail later, and with the webhook beside the API the wall between them is gone.
    fn refuse_shared_addresses(&self, reader: &mut Reader) {
        let [public, internal, admin] = [self.public_listen, self.internal_listen, self.admin_listen];
        let same = |a: SocketAddr, b: SocketAddr| a == b && a.port() != 0;
        if same(public, internal) || same(public, admin) || same(internal, admin) {
            reader.fault("server", "public_listen, internal_listen and admin_listen must differ");
        }
    }
}

fn address(reader: &mut Reader, key: &str) -> Option<SocketAddr> {
    reader.parsed(key, "an address and a port, such as 0.0.0.0:8080 or [::]:8080")
}

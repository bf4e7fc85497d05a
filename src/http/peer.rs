//! Where a request comes from: the address of its connection, or what a proxy that the operator trusts says of it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses of `X-Forwarded-For` that are looked at, from the nearest. Nobody has so many proxies.
const MOST_HOPS: usize = 16;

/// Rides on a request: the other end of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The proxies that are believed when they say whom they speak for. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// These networks; none: nobody is believed.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// Where a request comes from. What a client writes into the header itself stands before what the proxies added, so the list
    /// is read from its end, and its first address that is no proxy counts. `None`: it cannot be told.
    pub(super) fn origin(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let mut address = extensions.get::<Peer>()?.0.to_canonical();
        let lists: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("")).collect();
        for hop in lists.iter().rev().flat_map(|list| list.rsplit(',')).take(MOST_HOPS) {
            if !self.is_trusted(address) {
                return Some(address);
            }
            address = hop.trim().parse::<IpAddr>().ok()?.to_canonical();
        }
        Some(address)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(trusted: &[&str], peer: &str, lines: &[&'static str]) -> Option<String> {
        let networks: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let (mut extensions, mut headers) = (Extensions::new(), HeaderMap::new());
        extensions.insert(Peer(peer.parse().unwrap()));
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        TrustedProxies::new(&networks).origin(&extensions, &headers).map(|address| address.to_string())
    }

    #[test]
    fn the_header_of_whoever_is_not_trusted_counts_for_nothing() {
        assert_eq!(origin(&[], "192.0.2.1", &["10.0.0.1"]).unwrap(), "192.0.2.1");
        assert_eq!(origin(&["10.0.0.0/8"], "192.0.2.1", &["10.0.0.1"]).unwrap(), "192.0.2.1");
        assert_eq!(origin(&["10.0.0.0/8"], "::ffff:192.0.2.1", &["10.0.0.1"]).unwrap(), "192.0.2.1");
    }

    #[test]
    fn of_a_trusted_proxy_the_last_address_that_is_no_proxy_counts() {
        let trusted = &["10.0.0.0/8", "2001:db8::/64"];
        assert_eq!(origin(trusted, "10.0.0.9", &["198.51.100.1, 192.0.2.7, 10.0.0.2"]).unwrap(), "192.0.2.7");
        assert_eq!(origin(trusted, "2001:db8::1", &["198.51.100.1", "2001:db9::5"]).unwrap(), "2001:db9::5");
        assert_eq!(origin(trusted, "10.0.0.9", &[]).unwrap(), "10.0.0.9");
        assert_eq!(origin(trusted, "10.0.0.9", &["10.0.0.3"]).unwrap(), "10.0.0.3");
    }

    #[test]
    fn what_is_no_address_is_nobody() {
        assert_eq!(origin(&["10.0.0.0/8"], "10.0.0.9", &["192.0.2.7, unknown"]), None);
        assert_eq!(TrustedProxies::default().origin(&Extensions::new(), &HeaderMap::new()), None);
    }
}

//! The address guard: which URLs an endpoint may have, and which addresses a delivery may connect to. Endpoints are named
//! by whoever holds an API key, so without it a key could read what only this machine may reach.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::address::{Range, places, range_of};
use crate::domain::endpoint::{Transport, is_encrypted, port_of};

/// Ports below this need a listed host: nothing that speaks HTTP for others lives there, except on 80 and 443.
const FIRST_FREE_PORT: u16 = 1024;

/// What the operator allows beyond public addresses over https. The default allows nothing more.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Networks that deliveries may go to although they are not public.
    ///
    /// A wide network admits neither metadata services nor link-local, multicast and unspecified addresses: those need a /32
    /// or /128 of their own. Loopback needs a network inside 127.0.0.0/8, or `::1/128`.
    pub allowed_networks: Vec<IpNet>,
    /// Host names, or literal addresses, that may be reached over plain http, on any port, and in private networks.
    pub allowed_hosts: Vec<String>,
    /// For development only: this machine may be reached, and over plain http.
    pub allow_loopback: bool,
}

/// Why a URL or an address is not used. [`Refused::code`] is part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A scheme that names no transport, or no host.
    #[error("not the address of a web server or broker")]
    Scheme,
    /// Plain http to a host that is not listed.
    #[error("https is required unless the host is listed")]
    HttpsRequired,
    /// A broker without TLS that is not listed.
    #[error("TLS is required unless the host is listed")]
    TlsRequired,
    /// A Kafka cluster names its other servers itself, so that nobody vets their addresses: whoever lists one trusts them all.
    #[error("a Kafka server must be listed")]
    Unlisted,
    /// `user:password@` in a web address: there are better places for credentials.
    #[error("the address contains a user name or password")]
    UserInfo,
    /// A fragment is never sent, so the address is not what was meant.
    #[error("the address contains a fragment")]
    Fragment,
    /// Neither 80, 443 nor above 1023, and the host is not listed.
    #[error("the port is not allowed")]
    Port,
    /// The address, or one of those that the name resolves to, lies in a range that is not allowed.
    #[error("the address lies in a range that is not allowed ({})", .0.code())]
    Address(Range),
    /// The name has no address at present.
    #[error("the name does not resolve")]
    Unresolved,
}

impl Refused {
    /// The stable code for problem documents.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Scheme => "url_scheme",
            Self::HttpsRequired => "url_https_required",
            Self::TlsRequired => "url_tls_required",
            Self::Unlisted => "url_unlisted",
            Self::UserInfo => "url_user_info",
            Self::Fragment => "url_fragment",
            Self::Port => "url_port",
            Self::Address(range) => range.code(),
            Self::Unresolved => "url_unresolved",
        }
    }
}

/// A URL that passed [`AddressPolicy::check_url`], as far as that can be known before its name is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    literal: Option<IpAddr>,
}

impl Target {
    /// The host in the form the parser normalised it to, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the usual one of its scheme where the URL names none.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is one; it has been checked. No name will be resolved then.
    #[must_use]
    pub const fn literal(&self) -> Option<IpAddr> {
        self.literal
    }
}

impl AddressPolicy {
    /// Checks everything about a URL but the addresses of its name.
    ///
    /// Notations such as `http://2130706433/` or `http://0x7f.1/` need no care here: the parser turns them into addresses.
    ///
    /// # Errors
    /// The first reason to refuse.
    pub fn check_url(&self, url: &Url) -> Result<Target, Refused> {
        let transport = Transport::of(url).ok_or(Refused::Scheme)?;
        // Of schemes that are not the web's, the URL parser leaves the host as it stands.
        let (literal, host) = match Host::parse(url.host_str().unwrap_or_default()) {
            Ok(Host::Ipv4(address)) => (Some(IpAddr::V4(address)), address.to_string()),
            Ok(Host::Ipv6(address)) => (Some(IpAddr::V6(address)), address.to_string()),
            Ok(Host::Domain(name)) => (None, name),
            Err(_) => return Err(Refused::Scheme),
        };
        let port = port_of(url).ok_or(Refused::Scheme)?;
        if !transport.is_broker() && (!url.username().is_empty() || url.password().is_some()) {
            return Err(Refused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(Refused::Fragment);
        }
        if let Some(address) = literal {
            self.check_resolved(&host, &[address])?;
        }
        let needs_listing = !is_encrypted(url) || transport == Transport::Kafka;
        if needs_listing && !self.admits_by_listing(&host, literal) {
            return Err(match transport {
                Transport::Http => Refused::HttpsRequired,
                Transport::Nats | Transport::Amqp => Refused::TlsRequired,
                Transport::Kafka => Refused::Unlisted,
            });
        }
        if !(matches!(port, 80 | 443) || port >= FIRST_FREE_PORT || self.lists_host(&host)) {
            return Err(Refused::Port);
        }
        Ok(Target { host, port, literal })
    }

    /// Checks one address, whoever's it is.
    ///
    /// # Errors
    /// [`Refused::Address`] with the range that is not allowed.
    pub fn check_addr(&self, address: IpAddr) -> Result<(), Refused> {
        self.check_places(address, false)
    }

    /// Checks all the addresses of one host. A listed host may live in a private or shared network, but not on this machine.
    ///
    /// # Errors
    /// [`Refused::Unresolved`] for no address; [`Refused::Address`] as soon as **one** is not allowed, because the choice
    /// among them is not ours.
    pub fn check_resolved(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Refused> {
        if addresses.is_empty() {
            return Err(Refused::Unresolved);
        }
        let listed = self.lists_host(host);
        addresses.iter().try_for_each(|address| self.check_places(*address, listed))
    }

    fn check_places(&self, address: IpAddr, host_is_listed: bool) -> Result<(), Refused> {
        for place in places(address) {
            let admitted = match range_of(place) {
                Range::Public => true,
                Range::Loopback if self.allow_loopback => true,
                Range::Private | Range::Shared if host_is_listed => true,
                range => self.lists_network(place, range),
            };
            if !admitted {
                return Err(Refused::Address(range_of(place)));
            }
        }
        Ok(())
    }

    fn lists_network(&self, address: IpAddr, range: Range) -> bool {
        let narrow_enough = |net: &IpNet| match range {
            Range::Metadata | Range::LinkLocal | Range::Unspecified | Range::Multicast | Range::Broadcast => {
                net.prefix_len() == net.max_prefix_len()
            }
            Range::Loopback => range_of(net.network()) == range && range_of(net.broadcast()) == range,
            _ => true,
        };
        self.allowed_networks.iter().any(|net| net.contains(&address) && narrow_enough(net))
    }

    fn lists_host(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|listed| bare(listed).eq_ignore_ascii_case(bare(host)))
    }

    /// Asked after the addresses were checked: a literal that is not public has been admitted by name.
    fn admits_by_listing(&self, host: &str, literal: Option<IpAddr>) -> bool {
        let is_listed = |place: IpAddr| self.allowed_networks.iter().any(|net| net.contains(&place));
        let by_address = match literal {
            Some(address) => {
                places(address).into_iter().all(|place| range_of(place) != Range::Public || is_listed(place))
            }
            None => self.allow_loopback && (bare(host) == "localhost" || bare(host).ends_with(".localhost")),
        };
        by_address || self.lists_host(host)
    }
}

/// A host without the brackets of IPv6 and without the final dot of an absolute name.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str], hosts: &[&str]) -> AddressPolicy {
        AddressPolicy {
            allowed_networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
            allowed_hosts: hosts.iter().map(ToString::to_string).collect(),
            allow_loopback: false,
        }
    }

    fn code(policy: &AddressPolicy, url: &str) -> &'static str {
        policy.check_url(&Url::parse(url).unwrap()).map_or_else(Refused::code, |_| "ok")
    }

    #[test]
    fn by_default_an_endpoint_is_a_public_https_address() {
        for (url, expected) in [
            ("https://app.example.com/hook?tenant=1", "ok"),
            ("https://app.example.com:8443/", "ok"),
            ("https://8.8.8.8/", "ok"),
            ("https://[2606:4700::1111]/", "ok"),
            ("http://app.example.com/", "url_https_required"),
            ("http://8.8.8.8/", "url_https_required"),
            ("http://localhost:3000/", "url_https_required"),
            ("ftp://app.example.com/", "url_scheme"),
            ("file:///etc/passwd", "url_scheme"),
            ("https://user@app.example.com/", "url_user_info"),
            ("https://:password@app.example.com/", "url_user_info"),
            ("https://app.example.com/#part", "url_fragment"),
            ("https://app.example.com/#", "url_fragment"),
            ("https://app.example.com:22/", "url_port"),
            ("https://app.example.com:1023/", "url_port"),
            ("https://app.example.com:0/", "url_port"),
        ] {
            assert_eq!(code(&AddressPolicy::default(), url), expected, "{url}");
        }
    }

    #[test]
    fn this_machine_is_recognised_in_every_notation() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.255.255.254",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "①②⑦.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
        ] {
            assert_eq!(code(&AddressPolicy::default(), &format!("https://{host}/")), "address_loopback", "{host}");
        }
        for host in ["2852039166", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]"] {
            assert_eq!(code(&AddressPolicy::default(), &format!("https://{host}/")), "address_metadata", "{host}");
        }
        for host in ["0", "0.0.0.0", "[::]"] {
            assert_eq!(code(&AddressPolicy::default(), &format!("https://{host}/")), "address_unspecified", "{host}");
        }
        assert_eq!(code(&AddressPolicy::default(), "https://[64:ff9b:1::808:808]/"), "address_reserved");
    }

    #[test]
    fn a_listed_network_opens_itself_and_nothing_else() {
        let inside = policy(&["10.0.0.0/8", "fd12::/16", "9.9.9.0/24"], &[]);
        for (url, expected) in [
            ("http://10.1.2.3/hook", "ok"),
            ("https://10.1.2.3:8080/hook", "ok"),
            ("http://[fd12::1]:8080/", "ok"),
            ("http://[::ffff:10.1.2.3]/", "ok"),
            ("http://10.1.2.3:22/", "url_port"),
            ("http://172.16.0.1/", "address_private"),
            ("http://[fd13::1]/", "address_private"),
            ("http://9.9.9.9/", "ok"),
            ("http://8.8.8.8/", "url_https_required"),
            ("http://app.internal/", "url_https_required"),
        ] {
            assert_eq!(code(&inside, url), expected, "{url}");
        }
    }

    #[test]
    fn a_wide_network_never_admits_metadata_link_local_or_this_machine() {
        let wide = policy(&["0.0.0.0/0", "::/0", "169.254.0.0/16", "fe80::/10"], &[]);
        for address in [
            "169.254.169.254",
            "169.254.1.1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "::ffff:169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
        ] {
            assert!(wide.check_addr(address.parse().unwrap()).is_err(), "{address}");
        }
        assert_eq!(wide.check_addr("192.168.1.1".parse().unwrap()), Ok(()));
        let exact = policy(&["169.254.1.1/32", "127.0.0.0/8", "::1/128"], &[]);
        for address in ["169.254.1.1", "127.0.0.1", "::1"] {
            assert_eq!(exact.check_addr(address.parse().unwrap()), Ok(()), "{address}");
        }
        assert_eq!(exact.check_addr("169.254.1.2".parse().unwrap()), Err(Refused::Address(Range::LinkLocal)));
    }

    #[test]
    fn a_listed_host_may_be_private_and_plain_but_not_this_machine() {
        let listed = policy(&[], &["Bot.internal", "10.0.0.7"]);
        for url in ["http://bot.internal/", "http://BOT.internal.:25/", "http://10.0.0.7:81/"] {
            assert_eq!(code(&listed, url), "ok", "{url}");
        }
        assert_eq!(code(&listed, "http://other.internal/"), "url_https_required");
        let resolved = |host: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
            listed.check_resolved(host, &addresses)
        };
        assert_eq!(resolved("bot.internal", &["172.18.0.4", "fd00::4"]), Ok(()));
        assert_eq!(resolved("bot.internal", &["127.0.0.1"]), Err(Refused::Address(Range::Loopback)));
        assert_eq!(resolved("other.internal", &["172.18.0.4"]), Err(Refused::Address(Range::Private)));
        assert_eq!(resolved("app.example.com", &["8.8.8.8", "10.0.0.1"]), Err(Refused::Address(Range::Private)));
        assert_eq!(resolved("app.example.com", &[]), Err(Refused::Unresolved));
    }

    #[test]
    fn a_broker_is_held_to_the_same_rules() {
        for (url, expected) in [
            ("tls://nats.example.com/events", "ok"),
            ("tls://token@nats.example.com:4443/events", "ok"),
            ("amqps://user:password@8.8.8.8/%2f?exchange=x", "ok"),
            ("nats://nats.example.com/events", "url_tls_required"),
            ("amqp://8.8.8.8/", "url_tls_required"),
            ("kafkas://kafka.example.com/topic", "url_unlisted"),
            ("kafka://kafka.example.com/topic", "url_unlisted"),
            ("tls://nats.example.com:25/events", "url_port"),
            ("tls://nats.example.com/events#part", "url_fragment"),
            ("tls:///events", "url_scheme"),
            ("tls://169.254.169.254/events", "address_metadata"),
            ("tls://2852039166/events", "address_metadata"),
            ("tls://0xa9fea9fe/events", "address_metadata"),
            ("amqps://[::ffff:a9fe:a9fe]/", "address_metadata"),
            ("kafka://169.254.169.254/topic", "address_metadata"),
            ("amqps://127.1/", "address_loopback"),
        ] {
            assert_eq!(code(&AddressPolicy::default(), url), expected, "{url}");
        }
        let listed = policy(&["10.0.0.0/8"], &["broker.internal"]);
        for url in
            ["nats://broker.internal/x", "amqp://10.0.0.1:81/", "kafka://Broker.Internal/x", "kafkas://10.0.0.1/x"]
        {
            let expected = if url.contains(":81") { "url_port" } else { "ok" };
            assert_eq!(code(&listed, url), expected, "{url}");
        }
    }

    #[test]
    fn in_development_this_machine_is_reached_over_plain_http_and_no_other() {
        let dev = AddressPolicy { allow_loopback: true, ..AddressPolicy::default() };
        for url in ["http://127.0.0.1:9000/", "http://localhost:9000/", "http://[::1]:9000/", "http://2130706433/"] {
            assert_eq!(code(&dev, url), "ok", "{url}");
        }
        assert_eq!(code(&dev, "http://app.example.com/"), "url_https_required");
        assert_eq!(code(&dev, "http://10.0.0.1/"), "address_private");
        assert_eq!(code(&dev, "http://169.254.169.254/"), "address_metadata");
    }
}

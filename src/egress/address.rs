//! What kind of place an IP address is, in every notation that reaches it. No policy: [`super::guard`] decides what is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

macro_rules! ranges {
    ($($(#[$doc:meta])* $name:ident = $code:literal),+ $(,)?) => {
        /// A kind of address, after the IANA special-purpose registries.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Range { $($(#[$doc])* $name),+ }

        impl Range {
            /// The stable code under which a problem document names a refusal of this kind.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }
        }
    };
}

ranges! {
    /// Reachable from everywhere.
    Public = "address_public",
    /// A service that hands a cloud machine its credentials.
    Metadata = "address_metadata",
    /// The unspecified address and 0.0.0.0/8, which many systems connect to themselves.
    Unspecified = "address_unspecified",
    /// This machine.
    Loopback = "address_loopback",
    /// The wire next to this machine.
    LinkLocal = "address_link_local",
    /// A company's own network: RFC 1918, unique local IPv6.
    Private = "address_private",
    /// A carrier's network (RFC 6598), also used by overlay networks.
    Shared = "address_shared",
    /// Many machines at once.
    Multicast = "address_multicast",
    /// Every machine on the wire.
    Broadcast = "address_broadcast",
    /// Examples in texts.
    Documentation = "address_documentation",
    /// Measuring equipment (RFC 2544, RFC 5180).
    Benchmarking = "address_benchmarking",
    /// Everything else that is not globally routed.
    Reserved = "address_reserved",
}

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), prefix)
}

/// The first row that contains an address names it; the metadata services therefore stand on top.
const V4: &[(Ipv4Net, Range)] = &[
    (v4([169, 254, 169, 254], 32), Range::Metadata), // AWS, Azure, Google, OpenStack and most others
    (v4([169, 254, 170, 2], 32), Range::Metadata),   // AWS container credentials
    (v4([169, 254, 170, 23], 32), Range::Metadata),  // AWS pod identity
    (v4([100, 100, 100, 200], 32), Range::Metadata), // Alibaba
    (v4([168, 63, 129, 16], 32), Range::Metadata),   // Azure's host agent, a public address
    (v4([192, 0, 0, 192], 32), Range::Metadata),     // Oracle, older images
    (v4([0, 0, 0, 0], 8), Range::Unspecified),
    (v4([10, 0, 0, 0], 8), Range::Private),
    (v4([100, 64, 0, 0], 10), Range::Shared),
    (v4([127, 0, 0, 0], 8), Range::Loopback),
    (v4([169, 254, 0, 0], 16), Range::LinkLocal),
    (v4([172, 16, 0, 0], 12), Range::Private),
    (v4([192, 0, 0, 0], 24), Range::Reserved),
    (v4([192, 0, 2, 0], 24), Range::Documentation),
    (v4([192, 88, 99, 0], 24), Range::Reserved),
    (v4([192, 168, 0, 0], 16), Range::Private),
    (v4([198, 18, 0, 0], 15), Range::Benchmarking),
    (v4([198, 51, 100, 0], 24), Range::Documentation),
    (v4([203, 0, 113, 0], 24), Range::Documentation),
    (v4([224, 0, 0, 0], 4), Range::Multicast),
    (v4([255, 255, 255, 255], 32), Range::Broadcast),
    (v4([240, 0, 0, 0], 4), Range::Reserved),
];

/// As [`V4`]. What is outside `2000::/3` and in no row above it is not global unicast.
const V6: &[(Ipv6Net, Range)] = &[
    (v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128), Range::Metadata), // AWS
    (v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23], 128), Range::Metadata),  // AWS pod identity
    (v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128), Range::Metadata), // Google
    (v6([0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42], 128), Range::Metadata),  // Scaleway
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), Range::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Range::Loopback),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), Range::LinkLocal),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), Range::Private),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), Range::Multicast),
    (v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32), Range::Documentation),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), Range::Documentation),
    (v6([0x2001, 0x0002, 0, 0, 0, 0, 0, 0], 48), Range::Benchmarking),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), Range::Reserved),
    (v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3), Range::Public),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 0), Range::Reserved),
];

const MAPPED: Ipv6Net = v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96);
const TRANSLATED: Ipv6Net = v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96);
const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0, 0, 0, 0, 0], 96);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const LOCAL_NAT64: Ipv6Net = v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32);

/// The range of `address` as it is written. Call [`places`] first: an IPv6 address may be a way to write an IPv4 one.
#[must_use]
pub fn range_of(address: IpAddr) -> Range {
    let found = match address {
        IpAddr::V4(address) => V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, range)| *range),
        IpAddr::V6(address) => V6.iter().find(|(net, _)| net.contains(&address)).map(|(_, range)| *range),
    };
    found.unwrap_or(Range::Public)
}

/// Every place that a packet to `address` may end up at. Each of them must be allowed.
///
/// Usually the address itself; for the IPv6 forms that carry an IPv4 address, what they carry.
#[must_use]
pub fn places(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(six) = address else { return vec![address] };
    let [_, _, b2, b3, b4, b5, b6, b7, i0, i1, i2, i3, b12, b13, b14, b15] = six.octets();
    let last = IpAddr::from([b12, b13, b14, b15]);
    let carries_in_place = [MAPPED, TRANSLATED, NAT64].iter().any(|net| net.contains(&six));
    let is_compatible = COMPATIBLE.contains(&six) && six > Ipv6Addr::LOCALHOST;
    // ISATAP (RFC 5214) marks its interface identifiers, under any prefix.
    let is_isatap = matches!([i0, i1, i2, i3], [0 | 2, 0, 0x5e, 0xfe]);
    if carries_in_place || is_compatible {
        vec![last]
    } else if LOCAL_NAT64.contains(&six) || is_isatap {
        vec![address, last]
    } else if SIX_TO_FOUR.contains(&six) {
        vec![IpAddr::from([b2, b3, b4, b5])]
    } else if TEREDO.contains(&six) {
        // The server in clear, the client with every bit turned (RFC 4380 §4).
        vec![IpAddr::from([b4, b5, b6, b7]), IpAddr::from([!b12, !b13, !b14, !b15])]
    } else {
        vec![address]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Vec<Range> {
        places(text.parse().unwrap()).into_iter().map(range_of).collect()
    }

    #[test]
    fn every_special_range_begins_and_ends_where_the_registry_says() {
        for (first, last, range) in [
            ("0.0.0.0", "0.255.255.255", Range::Unspecified),
            ("10.0.0.0", "10.255.255.255", Range::Private),
            ("100.64.0.0", "100.127.255.255", Range::Shared),
            ("127.0.0.0", "127.255.255.255", Range::Loopback),
            ("169.254.0.0", "169.254.255.255", Range::LinkLocal),
            ("172.16.0.0", "172.31.255.255", Range::Private),
            ("192.168.0.0", "192.168.255.255", Range::Private),
            ("198.18.0.0", "198.19.255.255", Range::Benchmarking),
            ("224.0.0.0", "239.255.255.255", Range::Multicast),
            ("240.0.0.0", "255.255.255.254", Range::Reserved),
            ("fe80::", "febf:ffff::", Range::LinkLocal),
            ("fc00::", "fdff:ffff::", Range::Private),
            ("ff00::", "ffff::", Range::Multicast),
            ("2001:db8::", "2001:db8:ffff::", Range::Documentation),
        ] {
            assert_eq!((ranges(first), ranges(last)), (vec![range], vec![range]), "{first} to {last}");
        }
        for neighbour in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert_eq!(ranges(neighbour), [Range::Public], "{neighbour}");
        }
    }

    #[test]
    fn the_metadata_services_are_known_by_name() {
        for text in [
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
        ] {
            assert_eq!(ranges(text), [Range::Metadata], "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_is_found_inside_every_ipv6_form_that_carries_one() {
        for text in [
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "2002:7f00:1::",
            "2002:7f00:1:ffff::1",
        ] {
            assert_eq!(ranges(text), [Range::Loopback], "{text}");
        }
        assert_eq!(ranges("64:ff9b:1::127.0.0.1"), [Range::Reserved, Range::Loopback]);
        assert_eq!(ranges("2001:0:808:808:0:0:80ff:fffe"), [Range::Public, Range::Loopback]); // Teredo client, inverted
        assert_eq!(ranges("2001:0:7f00:1::f7f7:f7f7"), [Range::Loopback, Range::Public]); // Teredo server
        assert_eq!(ranges("2a00::5efe:7f00:1"), [Range::Public, Range::Loopback]); // ISATAP
        assert_eq!((ranges("::"), ranges("::1")), (vec![Range::Unspecified], vec![Range::Loopback]));
        assert_eq!(ranges("64:ff9b::8.8.8.8"), [Range::Public]);
    }
}

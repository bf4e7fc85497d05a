//! `[meta]`: how Meta is reached.

use std::str::FromStr;
use std::time::Duration;

use url::{Host, Url};

use super::reader::Reader;

/// Base, version and patience for the Graph API.
#[derive(Debug, Clone)]
pub struct MetaConfig {
    /// Without the version; no user, query or fragment. Plain http only where the token stays inside.
    pub graph_url: Url,
    /// `v` and two numbers.
    pub graph_version: String,
    /// Hosts that keep Meta's files: the token goes there too.
    pub media_hosts: Vec<String>,
    /// Whether calls prove that we hold the app's secret.
    pub appsecret_proof: bool,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long a whole call may take.
    pub timeout: Duration,
}

impl MetaConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url: Option<GraphUrl> = reader.parsed(
            "meta.graph_url",
            "an https URL without user, query or fragment (http is for loopback, private addresses and names without a dot)",
        );
        let version: Option<GraphVersion> = reader.parsed("meta.graph_version", "a version such as v25.0");
        let connect_timeout = reader.millis("meta.connect_timeout_ms", 100..=60_000);
        let timeout = reader.millis("meta.timeout_ms", 100..=300_000);
        let media_hosts: Option<Vec<HostName>> = reader.list("meta.media_hosts", "names of hosts");
        let appsecret_proof = reader.flag("meta.appsecret_proof");
        Some(Self {
            graph_url: url?.0,
            graph_version: version?.0,
            media_hosts: media_hosts?.into_iter().map(|host| host.0).collect(),
            appsecret_proof: appsecret_proof?,
            connect_timeout: connect_timeout?,
            timeout: timeout?,
        })
    }
}

pub(super) struct GraphUrl(pub(super) Url);

impl FromStr for GraphUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let url = Url::parse(text).map_err(|_| ())?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let safe = match url.scheme() {
            "https" => true,
            "http" => url.host().is_some_and(|host| is_inside(&host)),
            _ => false,
        };
        if bare && safe && url.fragment().is_none() { Ok(Self(url)) } else { Err(()) }
    }
}

/// Whether a request to `host` stays on the machine or in the private network.
fn is_inside(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.contains('.'),
        Host::Ipv4(address) => address.is_loopback() || address.is_private(),
        Host::Ipv6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

struct HostName(String);

impl FromStr for HostName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match Host::parse(text) {
            Ok(Host::Domain(name)) if name == text.to_ascii_lowercase() && name.contains('.') => Ok(Self(name)),
            _ => Err(()),
        }
    }
}

struct GraphVersion(String);

impl FromStr for GraphVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
        let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        match numbers {
            Some((major, minor)) if is_number(major) && is_number(minor) => Ok(Self(text.to_owned())),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_never_travels_in_the_clear_to_a_public_host() {
        let accepted = [
            "https://graph.facebook.com",
            "http://127.0.0.1:9090",
            "http://[::1]:1",
            "http://10.1.2.3",
            "http://simulator:80",
        ];
        let refused = [
            "http://graph.facebook.com",
            "http://8.8.8.8",
            "https://u:p@host.example",
            "https://host.example/?a=b",
            "ftp://x",
            "x",
        ];
        assert!(accepted.iter().all(|text| GraphUrl::from_str(text).is_ok()));
        assert!(refused.iter().all(|text| GraphUrl::from_str(text).is_err()));
    }

    #[test]
    fn a_version_is_v_and_two_numbers() {
        assert!(GraphVersion::from_str("v25.0").is_ok());
        for bad in ["25.0", "v25", "v.0", "v25.0/", "vx.0", ""] {
            assert!(GraphVersion::from_str(bad).is_err(), "{bad}");
        }
    }
}

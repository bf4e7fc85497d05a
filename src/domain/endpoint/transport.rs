//! By what an endpoint is reached: the scheme of its URL says it.

use url::Url;

/// How events travel to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `http`, `https`: a POST for each event.
    Http,
    /// `nats`, `tls`: a message in a stream of `JetStream`.
    Nats,
    /// `amqp`, `amqps`: a confirmed message to an exchange.
    Amqp,
    /// `kafka`, `kafkas`: a record in a topic.
    Kafka,
}

impl Transport {
    /// `None`: a scheme that nothing here speaks.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        match url.scheme() {
            "http" | "https" => Some(Self::Http),
            "nats" | "tls" => Some(Self::Nats),
            "amqp" | "amqps" => Some(Self::Amqp),
            "kafka" | "kafkas" => Some(Self::Kafka),
            _ => None,
        }
    }

    /// Whether this gateway was built with it.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::Http => true,
            Self::Nats => cfg!(feature = "nats"),
            Self::Amqp => cfg!(feature = "amqp"),
            Self::Kafka => cfg!(feature = "kafka"),
        }
    }

    /// Whether it is a message broker, whose URL may hold a user and a password.
    #[must_use]
    pub const fn is_broker(self) -> bool {
        !matches!(self, Self::Http)
    }
}

/// The port that a URL names or its scheme stands for.
#[must_use]
pub fn port_of(url: &Url) -> Option<u16> {
    url.port_or_known_default().or(match url.scheme() {
        "nats" | "tls" => Some(4222),
        "amqp" => Some(5672),
        "amqps" => Some(5671),
        "kafka" | "kafkas" => Some(9092),
        _ => None,
    })
}

/// Whether what is sent to this URL is encrypted on its way.
#[must_use]
pub fn is_encrypted(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "tls" | "amqps" | "kafkas")
}

/// Reads the URL of an endpoint. Kafka's lists of servers, `kafka://one:9092,two:9092/topic`, are no URLs: the servers after the
/// first become parameters, `?server=two:9092`.
#[must_use]
pub fn parse_url(text: &str) -> Option<Url> {
    let is_kafka = |scheme: &str| matches!(scheme, "kafka" | "kafkas");
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_kafka(scheme)) else {
        return Url::parse(text).ok();
    };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let (user, servers) = authority.rsplit_once('@').map_or(("", authority), |(user, servers)| (user, servers));
    let mut servers = servers.split(',');
    let at = if user.is_empty() { "" } else { "@" };
    let mut url = Url::parse(&format!("{scheme}://{user}{at}{}{path}", servers.next()?)).ok()?;
    for server in servers {
        url.query_pairs_mut().append_pair("server", server);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_names_the_transport() {
        for (url, transport) in [
            ("https://a.example/", Some(Transport::Http)),
            ("nats://a.example/x", Some(Transport::Nats)),
            ("tls://a.example/x", Some(Transport::Nats)),
            ("amqps://a.example/x", Some(Transport::Amqp)),
            ("kafka://a.example/x", Some(Transport::Kafka)),
            ("ftp://a.example/x", None),
        ] {
            assert_eq!(Transport::of(&Url::parse(url).unwrap()), transport, "{url}");
        }
        assert_eq!(port_of(&Url::parse("amqps://a.example").unwrap()), Some(5671));
        assert_eq!(port_of(&Url::parse("amqps://a.example:99").unwrap()), Some(99));
    }

    #[test]
    fn a_list_of_kafka_servers_becomes_a_url() {
        for (text, url) in [
            ("kafka://a.example:9092/t", "kafka://a.example:9092/t"),
            ("kafkas://u:p@a.example:1,b.example:2/t?x=y", "kafkas://u:p@a.example:1/t?x=y&server=b.example%3A2"),
            ("https://a.example/x,y", "https://a.example/x,y"),
        ] {
            assert_eq!(parse_url(text).unwrap().as_str(), url);
        }
        assert_eq!(parse_url("kafka://"), Url::parse("kafka://").ok());
    }
}

//! Where at a broker events go, read from the URL: `nats://host/subject`, `amqp://host/vhost?exchange=…&routing_key=…`,
//! `kafka://host/topic`.

use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::domain::endpoint::Transport;

/// Kafka's own bound on the name of a topic.
const TOPIC_LENGTH: usize = 249;
/// AMQP's short strings.
const NAME_BYTES: usize = 255;

/// A place at a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// NATS `JetStream`.
    Subject(String),
    /// AMQP 0.9.1.
    Exchange {
        /// `/` when the URL names none.
        vhost: String,
        /// Empty: the default exchange, where the routing key is the name of a queue.
        exchange: String,
        /// May be empty with an exchange of its own.
        routing_key: String,
    },
    /// Kafka.
    Topic {
        /// Its name.
        name: String,
        /// How the user and password of the URL are proved.
        mechanism: Mechanism,
    },
}

/// How a Kafka cluster is told user and password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// As they are.
    Plain,
    /// SCRAM-SHA-256.
    Scram256,
    /// SCRAM-SHA-512, when the URL says nothing else.
    Scram512,
}

/// Why a broker's URL names no place; what is expected instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadDestination(pub &'static str);

const SUBJECT: BadDestination =
    BadDestination("a subject after the host, without wildcards and not of the system: nats://host/a.b");
const EXCHANGE: BadDestination =
    BadDestination("an exchange or a routing key, and nothing else: amqp://host/vhost?exchange=a&routing_key=b");
const TOPIC: BadDestination =
    BadDestination("a topic after the host; of parameters server and sasl (plain, scram-sha-256, scram-sha-512) alone");

impl Destination {
    /// The place that a broker's URL names; `None` for the URL of a web server.
    ///
    /// # Errors
    /// [`BadDestination`], with what is expected.
    pub fn of(url: &Url) -> Result<Option<Self>, BadDestination> {
        match Transport::of(url) {
            None | Some(Transport::Http) => Ok(None),
            Some(Transport::Nats) => subject(url).ok_or(SUBJECT).map(Some),
            Some(Transport::Amqp) => exchange(url).ok_or(EXCHANGE).map(Some),
            Some(Transport::Kafka) => topic(url).ok_or(TOPIC).map(Some),
        }
    }
}

/// A URL for each server that the URL names: one, but for Kafka's lists.
#[must_use]
pub fn servers(url: &Url) -> Vec<Url> {
    let more = url.query_pairs().filter(|(name, _)| name == "server" && Transport::of(url) == Some(Transport::Kafka));
    // What is no host and port becomes a URL without a host, which the guard refuses.
    let other = |server: &str| {
        let nowhere = || Url::parse("kafka:").ok();
        Url::parse(&format!("{}://{server}", url.scheme())).ok().filter(|one| one.path().is_empty()).or_else(nowhere)
    };
    std::iter::once(url.clone()).chain(more.filter_map(|(_, server)| other(&server))).collect()
}

/// User and password of a broker's URL; the password is empty when there is none.
#[cfg_attr(
    not(any(feature = "nats", feature = "amqp", feature = "kafka")),
    expect(dead_code, reason = "told to brokers")
)]
#[must_use]
pub(super) fn credentials(url: &Url) -> Option<(String, Zeroizing<String>)> {
    let user = decoded(url.username())?;
    let password = Zeroizing::new(decoded(url.password().unwrap_or_default())?);
    (!user.is_empty() || !password.is_empty()).then_some((user, password))
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

fn subject(url: &Url) -> Option<Destination> {
    let subject = decoded(url.path().strip_prefix('/')?)?;
    let is_token = |token: &str| {
        !token.is_empty() && !token.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    };
    // `$` begins the subjects by which a server is ruled.
    let is_free = !subject.contains(['*', '>']) && !subject.starts_with(['$', '_']) && subject.len() <= NAME_BYTES;
    (is_free && subject.split('.').all(is_token) && url.query().is_none()).then_some(Destination::Subject(subject))
}

fn exchange(url: &Url) -> Option<Destination> {
    let vhost = decoded(url.path().strip_prefix('/').unwrap_or_default())?;
    let vhost = if vhost.is_empty() { "/".to_owned() } else { vhost };
    let [mut exchange, mut routing_key] = [String::new(), String::new()];
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "exchange" => exchange = value.into_owned(),
            "routing_key" => routing_key = value.into_owned(),
            _ => return None,
        }
    }
    let names = [&vhost, &exchange, &routing_key];
    let is_somewhere = !(exchange.is_empty() && routing_key.is_empty());
    let fits = is_somewhere && names.iter().all(|name| name.len() <= NAME_BYTES);
    fits.then_some(Destination::Exchange { vhost, exchange, routing_key })
}

fn topic(url: &Url) -> Option<Destination> {
    let name = url.path().strip_prefix('/')?.to_owned();
    let mut mechanism = Mechanism::Scram512;
    for (parameter, value) in url.query_pairs() {
        match (parameter.as_ref(), value.as_ref()) {
            ("server", _) | ("sasl", "scram-sha-512") => {}
            ("sasl", "scram-sha-256") => mechanism = Mechanism::Scram256,
            ("sasl", "plain") => mechanism = Mechanism::Plain,
            _ => return None,
        }
    }
    let is_known = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    let is_name =
        !name.is_empty() && name.len() <= TOPIC_LENGTH && name.bytes().all(is_known) && name != "." && name != "..";
    is_name.then_some(Destination::Topic { name, mechanism })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::parse_url;

    fn of(url: &str) -> Result<Option<Destination>, BadDestination> {
        Destination::of(&parse_url(url).unwrap())
    }

    #[test]
    fn each_transport_names_its_place() {
        let exchange = |vhost: &str, exchange: &str, routing_key: &str| {
            let [vhost, exchange, routing_key] = [vhost, exchange, routing_key].map(str::to_owned);
            Ok(Some(Destination::Exchange { vhost, exchange, routing_key }))
        };
        let topic = |mechanism| Ok(Some(Destination::Topic { name: "t-1".to_owned(), mechanism }));
        assert_eq!(of("https://a.example/x"), Ok(None));
        assert_eq!(of("nats://a.example/whatsapp.in"), Ok(Some(Destination::Subject("whatsapp.in".to_owned()))));
        assert_eq!(of("amqp://a.example/?routing_key=q"), exchange("/", "", "q"));
        assert_eq!(of("amqp://a.example/%2Fcrm?exchange=e&routing_key=a.b"), exchange("/crm", "e", "a.b"));
        assert_eq!(of("kafka://a.example,b.example:1/t-1"), topic(Mechanism::Scram512));
        assert_eq!(of("kafkas://a.example/t-1?sasl=plain"), topic(Mechanism::Plain));
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for url in [
            "nats://a.example",
            "nats://a.example/",
            "nats://a.example/a.*",
            "nats://a.example/$JS.API.X",
            "tls://a.example/a..b",
            "tls://a.example/a%20b",
            "tls://a.example/a?b=c",
        ] {
            assert_eq!(of(url), Err(SUBJECT), "{url}");
        }
        for url in ["amqp://a.example", "amqp://a.example/vhost", "amqp://a.example/?queue=q"] {
            assert_eq!(of(url), Err(EXCHANGE), "{url}");
        }
        for url in
            ["kafka://a.example", "kafka://a.example/a/b", "kafka://a.example/t?sasl=none", "kafka://a.example/.."]
        {
            assert_eq!(of(url), Err(TOPIC), "{url}");
        }
    }

    #[test]
    fn every_server_of_a_list_is_seen() {
        let seen = |text: &str| {
            let url = parse_url(text).unwrap();
            servers(&url).iter().map(|one| format!("{:?}:{:?}", one.host_str(), one.port())).collect::<Vec<_>>()
        };
        assert_eq!(
            seen("kafka://a.example:1,b.example:2/t"),
            [r#"Some("a.example"):Some(1)"#, r#"Some("b.example"):Some(2)"#]
        );
        assert_eq!(seen("kafka://a.example:1/t?server=b.example:x"), [r#"Some("a.example"):Some(1)"#, "None:None"]);
        assert_eq!(seen("nats://a.example:1/t"), [r#"Some("a.example"):Some(1)"#]);
    }
}

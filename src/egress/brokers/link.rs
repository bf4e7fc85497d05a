//! What every connection to a broker can do, and how each kind is opened.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use url::Url;

use super::Message;
use crate::domain::endpoint::Transport;
use crate::egress::attempt::AttemptClass;

/// What an acknowledgement, or its absence, means.
pub(super) type Publishing<'a> = Pin<Box<dyn Future<Output = AttemptClass> + Send + 'a>>;

/// A connection on its way.
pub(super) type Opening<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Link>, AttemptClass>> + Send + 'a>>;

/// An open connection. Many messages may be on their way over it at once.
pub(super) trait Link: fmt::Debug + Send + Sync {
    /// Publishes and waits for the acknowledgement, for as long as the caller does.
    fn publish<'a>(&'a self, message: &'a Message) -> Publishing<'a>;

    /// Whether it is still good for more after an attempt that ended so.
    fn outlives(&self, class: AttemptClass) -> bool;
}

/// A server whose addresses the guard has passed.
#[cfg_attr(
    not(any(feature = "nats", feature = "amqp")),
    expect(dead_code, reason = "Kafka's client resolves by itself")
)]
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// What a certificate must name.
    pub(super) host: String,
    pub(super) port: u16,
    /// With the port.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Opens a connection as the URL asks. `deadline` is what an attempt may take; the caller does not wait longer either.
///
/// Boxed here, so that the types of the clients, which are deep, end here.
#[cfg_attr(not(any(feature = "nats", feature = "kafka")), expect(unused_variables, reason = "AMQP needs no deadline"))]
pub(super) fn open<'a>(url: &'a Url, sites: &'a [Site], deadline: Duration) -> Opening<'a> {
    match Transport::of(url) {
        #[cfg(feature = "nats")]
        Some(Transport::Nats) => Box::pin(async move {
            Ok(Box::new(super::nats::Connection::open(url, sites, deadline).await?) as Box<dyn Link>)
        }),
        #[cfg(feature = "amqp")]
        Some(Transport::Amqp) => {
            Box::pin(async move { Ok(Box::new(super::amqp::Connection::open(url, sites).await?) as Box<dyn Link>) })
        }
        #[cfg(feature = "kafka")]
        Some(Transport::Kafka) => Box::pin(async move {
            Ok(Box::new(super::kafka::Connection::open(url, sites, deadline).await?) as Box<dyn Link>)
        }),
        _ => Box::pin(std::future::ready(Err(AttemptClass::TransportUnavailable))),
    }
}

//! AMQP 0.9.1: a message is done when the broker confirms it and did not return it. It is persistent, and mandatory: a message
//! that no queue takes comes back, and is tried again instead of vanishing.

use std::io;
use std::net::SocketAddr;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{AsyncTcpStream, TLSConfig};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{BasicProperties, Channel, Confirmation, ConnectionProperties, Error, ErrorKind};
use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::Message;
use super::destination::{Destination, credentials};
use super::link::{Link, Publishing, Site};
use crate::domain::endpoint::is_encrypted;
use crate::egress::attempt::AttemptClass;

/// Kept by a broker that restarts.
const PERSISTENT: u8 = 2;

/// One channel in confirm mode on one connection, which lives as long as its channel does.
pub(super) struct Connection {
    channel: Channel,
    exchange: String,
    routing_key: String,
    _connection: lapin::Connection,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub(super) async fn open(url: &Url, sites: &[Site]) -> Result<Self, AttemptClass> {
        let Ok(Some(Destination::Exchange { vhost, exchange, routing_key })) = Destination::of(url) else {
            return Err(AttemptClass::Refused);
        };
        let Some(site) = sites.first() else { return Err(AttemptClass::Refused) };
        let opening = async {
            let connection = connect(authority(url, site, vhost), site.addresses.clone()).await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(Self { channel, exchange, routing_key, _connection: connection })
        };
        opening.await.map_err(|error: Error| class_of(&error, is_encrypted(url)))
    }

    async fn send(&self, message: &Message) -> Result<AttemptClass, Error> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, routing_key) = (self.exchange.as_str().into(), self.routing_key.as_str().into());
        let published = self.channel.basic_publish(exchange, routing_key, options, &message.body, properties(message));
        Ok(match published.await?.await? {
            Confirmation::Ack(None) => AttemptClass::Success,
            Confirmation::Ack(Some(_returned)) => AttemptClass::Unroutable,
            Confirmation::Nack(_) | Confirmation::NotRequested => AttemptClass::Rejected,
        })
    }
}

impl Link for Connection {
    fn publish<'a>(&'a self, message: &'a Message) -> Publishing<'a> {
        Box::pin(async { self.send(message).await.unwrap_or_else(|error| class_of(&error, false)) })
    }

    fn outlives(&self, class: AttemptClass) -> bool {
        class != AttemptClass::Timeout && self.channel.status().connected()
    }
}

fn authority(url: &Url, site: &Site, vhost: String) -> AMQPUri {
    let (username, password) = credentials(url).unwrap_or_default();
    AMQPUri {
        scheme: if is_encrypted(url) { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username, password: password.to_string() },
            host: site.host.clone(),
            port: site.port,
        },
        vhost,
        ..AMQPUri::default()
    }
}

/// Connects to the vetted addresses; a certificate must name the host all the same.
async fn connect(uri: AMQPUri, addresses: Vec<SocketAddr>) -> Result<lapin::Connection, Error> {
    let dial = async move |uri: AMQPUri, runtime| {
        let stream = AsyncTcpStream::connect(&runtime, addresses.clone()).await?;
        Ok(match uri.scheme {
            AMQPScheme::AMQP => stream,
            AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, TLSConfig::default()).await?,
        })
    };
    let properties = ConnectionProperties::default().with_connection_name("waxseal".into());
    lapin::Connection::connector(uri, lapin::runtime::default_runtime()?, dial, properties).await
}

fn properties(message: &Message) -> BasicProperties {
    let mut table = FieldTable::default();
    for (name, value) in message.headers.iter().filter(|(name, _)| **name != CONTENT_TYPE) {
        table.insert(name.as_str().into(), AMQPValue::LongString(value.as_bytes().into()));
    }
    let content_type = message.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    BasicProperties::default()
        .with_message_id(message.id.to_string().into())
        .with_content_type(content_type.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(table)
}

fn class_of(error: &Error, is_handshake: bool) -> AttemptClass {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND | AMQPSoftError::NOROUTE) => AttemptClass::Unroutable,
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => {
                AttemptClass::Denied
            }
            AMQPErrorKind::Soft(_) => AttemptClass::Rejected,
            AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) => AttemptClass::Connect,
            AMQPErrorKind::Hard(_) => AttemptClass::Protocol,
        },
        ErrorKind::IOError(error) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof if is_handshake => AttemptClass::Tls,
            _ => AttemptClass::Connect,
        },
        ErrorKind::InvalidConnectionState(_)
        | ErrorKind::InvalidChannelState(..)
        | ErrorKind::MissingHeartbeatError => AttemptClass::Connect,
        _ => AttemptClass::Protocol,
    }
}

//! Kafka: a record is done when every replica in step has it. The producer is idempotent, so what it sends again on its own is
//! written once; the key keeps a contact's events in one partition.

use std::time::Duration;

use krafka::auth::{AuthConfig, TlsConfig};
use krafka::error::{ErrorCode, KrafkaError};
use krafka::producer::{Acks, Producer};
use krafka::{Kafka, Record};
use url::Url;

use super::Message;
use super::destination::{Destination, Mechanism, credentials};
use super::link::{Link, Publishing, Site};
use crate::domain::endpoint::is_encrypted;
use crate::egress::attempt::AttemptClass;

/// A producer and its connections to the cluster.
pub(super) struct Connection {
    producer: Producer,
    topic: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub(super) async fn open(url: &Url, sites: &[Site], deadline: Duration) -> Result<Self, AttemptClass> {
        let Ok(Some(Destination::Topic { name, mechanism })) = Destination::of(url) else {
            return Err(AttemptClass::Refused);
        };
        let servers: Vec<String> =
            sites.iter().map(|site| format!("{}:{}", bracketed(&site.host), site.port)).collect();
        let opening = async {
            let kafka = Kafka::builder(servers.join(","))
                .client_id("waxseal")
                .security(security(url, mechanism))
                .allow_auto_create_topics(false)
                .connect_timeout(deadline / 2)
                .request_timeout(deadline / 2)
                .connect()
                .await?;
            kafka
                .producer()
                .acks(Acks::All)
                .idempotent(true)
                .delivery_timeout(deadline)
                .linger(Duration::ZERO)
                .max_block(deadline / 2)
                .build()
                .await
        };
        let producer = opening.await.map_err(|error| class_of(&error))?;
        Ok(Self { producer, topic: name })
    }
}

impl Link for Connection {
    fn publish<'a>(&'a self, message: &'a Message) -> Publishing<'a> {
        Box::pin(async {
            let record = Record::new(self.topic.clone(), message.body.clone()).key(message.key.clone());
            let record = message
                .headers
                .iter()
                .fold(record, |record, (name, value)| record.header(name.as_str(), value.as_bytes().to_vec()));
            match self.producer.send(record).await {
                Ok(_written) => AttemptClass::Success,
                Err(error) => class_of(&error),
            }
        })
    }

    /// Only good news, and the want of a topic. A producer that was fenced, or that lost count of what it wrote, fails for ever
    /// and does not say so; what one that timed out still has in hand it has given up, so that nothing is written twice that
    /// would not be anyway.
    fn outlives(&self, class: AttemptClass) -> bool {
        matches!(class, AttemptClass::Success | AttemptClass::Unroutable) && !self.producer.is_closed()
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn security(url: &Url, mechanism: Mechanism) -> AuthConfig {
    let auth = match (credentials(url), mechanism) {
        (None, _) => AuthConfig::plaintext(),
        (Some((user, password)), Mechanism::Plain) => AuthConfig::sasl_plain(user, password.as_str()),
        (Some((user, password)), Mechanism::Scram256) => AuthConfig::sasl_scram_sha256(user, password.as_str()),
        (Some((user, password)), Mechanism::Scram512) => AuthConfig::sasl_scram_sha512(user, password.as_str()),
    };
    if is_encrypted(url) { auth.with_tls(TlsConfig::new().with_native_roots()) } else { auth }
}

fn class_of(error: &KrafkaError) -> AttemptClass {
    match error {
        KrafkaError::Network(_) => AttemptClass::Connect,
        KrafkaError::Timeout { .. } | KrafkaError::DeliveryTimeout { .. } => AttemptClass::Timeout,
        KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. } => AttemptClass::Unroutable,
        KrafkaError::Auth { .. }
        | KrafkaError::Broker {
            code: ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed,
            ..
        } => AttemptClass::Denied,
        KrafkaError::Broker { .. } => AttemptClass::Rejected,
        _ => AttemptClass::Protocol,
    }
}

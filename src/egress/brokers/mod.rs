//! Brokers as endpoints: one message for each event, and the broker's acknowledgement is the success. Connections are opened when
//! they are needed, shared by all that is in flight to an endpoint, opened anew when its settings changed, and closed when unused.

#[cfg(feature = "amqp")]
mod amqp;
mod destination;
#[cfg(feature = "kafka")]
mod kafka;
mod link;
#[cfg(feature = "nats")]
mod nats;

pub use destination::{BadDestination, Destination, servers};

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use url::Url;

use self::link::{Link, Site};
use super::attempt::{Attempt, AttemptClass};
use super::guard::{AddressPolicy, Refused};
use super::resolver::{GuardedResolver, SystemNames};
use crate::domain::endpoint::Endpoint;
use crate::ids::{EndpointId, EventId};

/// A connection that carried nothing for this long is closed.
const IDLE: Duration = Duration::from_mins(1);

/// One event on its way to a broker.
#[derive(Clone)]
pub struct Message {
    /// The same at every attempt, so that brokers and consumers can drop duplicates.
    pub id: EventId,
    /// What orders it where the broker has partitions: the contact, or what stands for it.
    pub key: String,
    /// Signature and content type.
    pub headers: HeaderMap,
    /// As the endpoint's format has it.
    pub body: Bytes,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {} bytes)", self.id, self.body.len())
    }
}

/// The connections to brokers. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Brokers {
    open: Arc<Open>,
    policy: Arc<AddressPolicy>,
    resolver: GuardedResolver,
}

#[derive(Debug, Default)]
struct Open(Mutex<HashMap<EndpointId, Arc<Slot>>>);

/// A connection, or the place where whoever comes first makes it.
#[derive(Debug)]
struct Slot {
    version: Option<OffsetDateTime>,
    link: OnceCell<Box<dyn Link>>,
    used: Mutex<Instant>,
}

impl Brokers {
    /// No connections yet; those that are made will be to addresses that `policy` allows.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        let policy = Arc::new(policy);
        Self {
            open: Arc::default(),
            resolver: GuardedResolver::new(Arc::clone(&policy), Arc::new(SystemNames)),
            policy,
        }
    }

    /// Publishes one message and waits for the broker's acknowledgement, all of it within `deadline`, a connection included.
    pub async fn publish(&self, endpoint: &Endpoint, message: &Message, deadline: Duration) -> Attempt {
        let started = Instant::now(); // monotonic: what a Clock shows may be set back meanwhile
        let slot = self.open.slot(endpoint);
        let publishing = async {
            let link = slot.link.get_or_try_init(|| self.connect(endpoint, deadline)).await?;
            Ok(link.publish(message).await)
        };
        let class = match timeout_at(started + deadline, publishing).await {
            Ok(result) => result.unwrap_or_else(|class| class),
            Err(_elapsed) => AttemptClass::Timeout,
        };
        if slot.link.get().is_some_and(|link| !link.outlives(class)) {
            self.open.discard(endpoint.id, &slot);
        }
        Attempt { request_bytes: message.body.len(), ..Attempt::without_status(class, started.elapsed()) }
    }

    async fn connect(&self, endpoint: &Endpoint, deadline: Duration) -> Result<Box<dyn Link>, AttemptClass> {
        let url = endpoint.url.expose();
        let mut sites = Vec::new();
        for server in servers(url) {
            sites.push(self.site(&server).await?);
        }
        link::open(url, &sites, deadline).await
    }

    /// Vets a server and finds its addresses: the way into each connection.
    async fn site(&self, server: &Url) -> Result<Site, AttemptClass> {
        let target = self.policy.check_url(server).map_err(|_| AttemptClass::Refused)?;
        let at = |mut address: SocketAddr| {
            address.set_port(target.port());
            address
        };
        let addresses = match target.literal() {
            Some(address) => vec![SocketAddr::new(address, target.port())],
            None => {
                let found = self.resolver.lookup(target.host()).await.map_err(|refused| match refused {
                    Refused::Unresolved => AttemptClass::Connect,
                    _ => AttemptClass::Refused,
                })?;
                found.into_iter().map(at).collect()
            }
        };
        Ok(Site { host: target.host().to_owned(), port: target.port(), addresses })
    }
}

impl Open {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<EndpointId, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The endpoint's connection, if it is of these settings and still good; otherwise a place for a new one.
    fn slot(self: &Arc<Self>, endpoint: &Endpoint) -> Arc<Slot> {
        let mut all = self.all();
        let fits = |slot: &Slot| {
            slot.version == endpoint.changed_at
                && slot.link.get().is_none_or(|link| link.outlives(AttemptClass::Success))
        };
        let slot = match all.entry(endpoint.id) {
            Entry::Occupied(entry) if fits(entry.get()) => Arc::clone(entry.get()),
            entry => {
                let used = Mutex::new(Instant::now());
                let slot = Arc::new(Slot { version: endpoint.changed_at, link: OnceCell::new(), used });
                entry.insert_entry(Arc::clone(&slot));
                self.watch(endpoint.id, &slot);
                slot
            }
        };
        *slot.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        slot
    }

    #[expect(clippy::disallowed_methods, reason = "it ends by itself, and does nothing that a shutdown would wait for")]
    fn watch(self: &Arc<Self>, id: EndpointId, slot: &Arc<Slot>) {
        tokio::spawn(close_when_idle(Arc::downgrade(self), id, Arc::downgrade(slot)));
    }

    /// Others may still wait for their acknowledgements on it: it is closed when the last of them lets go.
    fn discard(&self, id: EndpointId, slot: &Arc<Slot>) {
        let mut all = self.all();
        if all.get(&id).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            all.remove(&id);
        }
    }
}

/// Ends with the connection or with the gateway, whichever ends first.
async fn close_when_idle(open: Weak<Open>, id: EndpointId, slot: Weak<Slot>) {
    loop {
        let Some(used) = slot.upgrade().map(|slot| *slot.used.lock().unwrap_or_else(PoisonError::into_inner)) else {
            return;
        };
        let idle_at = used + IDLE;
        if Instant::now() >= idle_at {
            if let (Some(open), Some(slot)) = (open.upgrade(), slot.upgrade()) {
                open.discard(id, &slot);
            }
            return;
        }
        tokio::time::sleep_until(idle_at).await;
    }
}

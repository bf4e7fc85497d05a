//! The composition root: puts the rooms together, starts them in order, and stops them in the other order.

mod archives;
mod backup;
mod bootstrap;
mod database;
mod incoming;
mod keys;
mod limits;
mod listeners;
mod media;
mod outgoing;
mod posture;
mod privacy;
mod region;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::access::Tickets;
use crate::access::door::Door;
use crate::access::lookout::Lookout;
use crate::access::usage::Usage;
use crate::audit::{Act, Action, Actor, Audit, AuditError, Object, Witnessing};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::deliver::{Deliverer, Deliveries};
use crate::directory::{Bells, Contacts, Directory};
use crate::http::{self, tls::Tls};
use crate::ids::{TenantId, WorkerId};
use crate::ingest::Ingest;
use crate::keyring::Keyring;
use crate::meta::client::GraphClient;
use crate::privacy::Law;
use crate::store::Store;
use crate::telemetry;
use crate::worker::{Lease, Worker};

pub use backup::{elsewhere, other_epoch_of_cell, restoring};
pub use database::RowsKept;
pub use outgoing::{pacing, witnesses};

/// What the settings need, without listeners or workers: also the base of the command line's verbs.
#[derive(Debug, Clone)]
pub struct Base {
    /// Both databases.
    pub store: Store,
    /// The opened key tree.
    pub keyring: Keyring,
    /// The settings, read.
    pub directory: Directory,
    /// Where acts are recorded.
    pub audit: Audit,
    /// The one clock.
    pub clock: SharedClock,
    /// Whether Postgres itself keeps the rows of tenants apart.
    pub rows_kept: RowsKept,
}

impl Base {
    /// Connects, migrates, opens the key tree and reads the settings.
    pub async fn open(config: &Config, clock: SharedClock) -> anyhow::Result<Self> {
        let (store, rows_kept) = database::open(config).await?;
        let open = async || Box::pin(Self::on(store.clone(), rows_kept.clone(), config, &clock)).await;
        database::patiently(database::PATIENCE, database::may_pass, open).await
    }

    /// The same on a database that is there, and late at times when the machine is busy. May be done twice.
    async fn on(store: Store, rows_kept: RowsKept, config: &Config, clock: &SharedClock) -> anyhow::Result<Self> {
        let (now, keyring) = (clock.now(), keys::open(&store, config, clock).await?);
        store.ensure_tenant(TenantId::DEFAULT, "default", now).await?;
        region::check(&store, &config.region).await?;
        store.ensure_partitions(now.date()).await?;
        keyring.tenant(TenantId::DEFAULT).await.context("the keys of the tenant could not be opened")?;
        let directory = Directory::new(store.clone(), keyring.clone(), clock.clone(), limits::house(config));
        directory.reload().await.context("the settings could not be read")?;
        let audit = Audit::new(store.clone(), keyring.clone(), clock.clone());
        Box::pin(audit.found(TenantId::DEFAULT)).await.context("the audit log could not be founded")?;
        let base = Self { store, keyring, directory, audit, clock: clock.clone(), rows_kept };
        region::mark(&base, &config.region).await?;
        Ok(base)
    }

    /// The door to stored content.
    #[must_use]
    pub fn door(&self) -> Door {
        let (store, keyring, directory) = (self.store.clone(), self.keyring.clone(), self.directory.clone());
        Door::new(store, keyring, directory, self.audit.clone(), self.clock.clone())
    }

    /// Records what an operator is about to do at the command line, and to which members of the object, as the API names them.
    pub async fn note(
        &self,
        action: Action,
        class: &'static str,
        id: Uuid,
        members: &[&str],
    ) -> Result<(), AuditError> {
        let act = Act::new(TenantId::DEFAULT, Actor::OPERATOR, action, Object::one(class, id));
        self.audit.record(act.with(members)).await.map(drop)
    }

    /// What passes calls of applications on to Meta.
    fn mirror(&self, config: &Config, client: GraphClient) -> http::Mirror {
        http::Mirror {
            client,
            tickets: Tickets::new(self.keyring.clone(), self.clock.clone()),
            public_url: config.graph.public_url.clone().map(Into::into),
            allow: config.graph.allow.clone().into(),
            tls: config.tls.internal.is_some(),
        }
    }
}

/// Where the three listeners are.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Meta.
    pub public: SocketAddr,
    /// Applications.
    pub internal: SocketAddr,
    /// Operators.
    pub admin: SocketAddr,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens; with port 0 in the configuration, where the system put it.
    pub addresses: Addresses,
    base: Base,
    draining: http::Draining,
    certificates: Vec<Tls>,
    listeners: Stage,
    admin: Stage,
    ingest: Stage,
    worker: Stage,
    drain: Duration,
}

/// Tasks that are stopped together.
#[derive(Debug, Default)]
struct Stage {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    /// Tells the tasks to finish and waits for them until `deadline`.
    async fn end(&self, deadline: tokio::time::Instant) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_ok()
    }
}

impl Gateway {
    /// Starts everything. When this returns, all three listeners answer.
    pub async fn start(config: &Config, clock: SharedClock) -> anyhow::Result<Self> {
        let (metrics, base) = (telemetry::install_metrics()?, Box::pin(Base::open(config, clock.clone())).await?);
        base.bootstrap(config).await?;
        // Before the rest is made: what waits here is kept small.
        let bound = listeners::bind(config, &clock).await?;
        let (store, keyring, directory) = (base.store.clone(), base.keyring.clone(), base.directory.clone());
        let (contacts, (bells, rung)) = (Contacts::new(keyring.clone(), clock.clone()), Bells::new());
        let [listeners, admin, ingest_stage, worker_stage] = std::array::from_fn(|_| Stage::default());

        let files = base.files(config, bells.clone())?;
        let parts = base.ingest_parts(contacts.clone(), bells.clone(), config, files.shelf.is_some())?;
        let ingest = Ingest::start(&parts, incoming::limits(config), &ingest_stage.tasks, &ingest_stage.stop);
        let deliverer = Deliverer { bells: bells.clone(), ..base.deliverer(config)? };
        let privacy = base.privacy_with(config, contacts.clone(), bells.clone(), files.clone());
        privacy.forget_restored().await.context("people whom a restore brought back could not be forgotten again")?;
        let sender = base.sender_with(
            config,
            contacts,
            bells.clone(),
            worker_stage.tasks.clone(),
            Arc::new(media::Carrier(files.clone())),
        )?;
        let (door, usage) = (base.door().sending(pacing(config).per_second), Usage::default());
        let worker = Worker {
            metrics: metrics.clone(),
            id: WorkerId::new(clock.now()),
            store: store.clone(),
            directory: directory.clone(),
            keyring,
            deliverer: deliverer.clone(),
            files: files.clone(),
            privacy: privacy.clone(),
            sender: sender.clone(),
            audit: base.audit.clone(),
            in_chat: config.privacy.in_chat.as_ref().and_then(|asked| Law::parse(&asked.law)),
            audit_days: config.audit.retention_days,
            epoch_step: config.keys.epoch_step,
            witnessing: Witnessing { witnesses: Arc::new(witnesses(config)?), client: deliverer.client.clone() },
            refusals: door.refusals().clone(),
            ingest: ingest.clone(),
            clock: clock.clone(),
            lease: Lease::default(),
            usage: usage.clone(),
            notify: config.deliver.notify,
        };
        let (draining, lookout) = (http::Draining::default(), Lookout::new(store.clone(), bells));
        let state = http::Parts {
            store,
            directory,
            ingest,
            door,
            audit: base.audit.clone(),
            readers: http::Readers::new(lookout.clone()),
            mirror: base.mirror(config, sender.graph.clone()),
            files,
            posture: base.desk(config, privacy.clone(), &listeners),
            privacy,
            sender,
            egress: deliverer.client.clone(),
            deliveries: Deliveries::new(deliverer),
            clock,
            metrics,
            draining: draining.clone(),
            proxies: http::TrustedProxies::new(&config.server.trusted_proxies),
            usage,
            reports: http::Reports::default(),
        };
        worker.start(rung, &worker_stage.tasks, &worker_stage.stop);
        listeners.tasks.spawn(lookout.run(listeners.stop.clone()));
        let (addresses, certificates) = listeners::serve(bound, &http::AppState::from(state), &listeners, &admin)?;
        Ok(Self {
            addresses,
            base,
            draining,
            certificates,
            listeners,
            admin,
            ingest: ingest_stage,
            worker: worker_stage,
            drain: config.server.drain,
        })
    }

    /// What the running gateway stands on: for those who change settings from inside the process.
    #[must_use]
    pub const fn base(&self) -> &Base {
        &self.base
    }

    /// Reads the files of `[tls]` anew, at once. What is faulty is not taken; the log says so.
    pub fn reload_certificates(&self) {
        listeners::reload(&self.certificates);
    }

    /// Stops in order: not ready, no new requests, queued webhooks written, lanes finished and given back. The admin listener
    /// goes last, so that the platform is told "not ready" and not "gone" meanwhile. What is not done
    /// within the configured time is left to Meta, the endpoints and the next process, which lose nothing by it.
    pub async fn shutdown(self) {
        self.draining.begin();
        let deadline = tokio::time::Instant::now() + self.drain;
        // Lanes stop claiming at once; requests that will not end must not take the time of those that are on the wire.
        let half = tokio::time::Instant::now() + self.drain / 2;
        let requests = async { self.listeners.end(half).await & self.ingest.end(deadline).await };
        let (requests, lanes) = tokio::join!(requests, self.worker.end(deadline));
        let done = requests & lanes & self.admin.end(deadline).await;
        if !done {
            tracing::warn!("not everything was finished in time; it is done again after the next start");
        }
        let _told = tokio::time::timeout(Duration::from_secs(1), self.base.audit.tell_sums()).await;
        let close = tokio::time::timeout(Duration::from_secs(1), self.base.store.close());
        // Statements that still run are broken off with the process.
        let _closed = close.await;
        tracing::info!("stopped");
    }
}

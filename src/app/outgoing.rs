//! What sends to Meta, and what delivers to applications: made as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::task::TaskTracker;

use super::{Base, archives, limits, media};
use crate::audit::Witnesses;
use crate::config::{Config, Throughput};
use crate::deliver::Deliverer;
use crate::directory::{Bells, Contacts};
use crate::egress::brokers::Brokers;
use crate::egress::client::{self, EgressClient};
use crate::egress::guard::AddressPolicy;
use crate::egress::proxy::Proxy;
use crate::meta::client::{GraphClient, Timeouts};
use crate::send::notice::Notice;
use crate::send::rules::{Book, Rules};
use crate::send::{Accepting, Busy, Depths, Pacing, Sender, Uploads};

/// How long an endpoint may take to accept a connection.
const ENDPOINT_CONNECT: Duration = Duration::from_secs(5);

impl Base {
    /// What takes messages and takes them back, with bells of its own: the lanes of running gateways look by themselves.
    pub fn sender(&self, config: &Config) -> anyhow::Result<Sender> {
        let contacts = Contacts::new(self.keyring.clone(), self.clock.clone());
        self.sender_with(config, contacts, Bells::new().0, TaskTracker::new(), Arc::new(media::NoCarrier))
    }

    pub(super) fn sender_with(
        &self,
        config: &Config,
        contacts: Contacts,
        bells: Bells,
        tasks: TaskTracker,
        uploads: Arc<dyn Uploads>,
    ) -> anyhow::Result<Sender> {
        let (store, keyring, clock) = (self.store.clone(), self.keyring.clone(), self.clock.clone());
        Ok(Sender {
            accepting: Accepting::new(store.clone(), keyring.clone(), contacts.clone(), clock.clone()),
            store,
            keyring,
            directory: self.directory.clone(),
            contacts,
            graph: graph_client(config)?,
            uploads,
            bells,
            tasks,
            clock,
            max_in_flight: config.send.max_in_flight,
            pacing: pacing(config),
            rules: rules(config),
            book: Book::default(),
            depths: Depths::default(),
            busy: Busy::default(),
            notice: notice(config),
            in_chat: config.privacy.in_chat.is_some(),
            links: archives::links(self, config),
        })
    }

    /// What delivers, with bells of its own: outside of a gateway they wake nobody.
    pub fn deliverer(&self, config: &Config) -> anyhow::Result<Deliverer> {
        Ok(Deliverer {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            audit: self.audit.clone(),
            client: EgressClient::new(address_policy(config), self.clock.clone(), egress_settings(config)?)?,
            brokers: Brokers::new(address_policy(config)),
            // Nobody hears what is rung: the lanes look by themselves once a second.
            bells: Bells::new().0,
            clock: self.clock.clone(),
            limits: limits::deliver(config),
        })
    }
}

fn address_policy(config: &Config) -> AddressPolicy {
    AddressPolicy {
        allowed_networks: config.deliver.allowed_networks.clone(),
        allowed_hosts: config.deliver.allowed_hosts.clone(),
        allow_loopback: config.deliver.allow_loopback,
    }
}

/// The witnesses of the configuration, as far as they may be asked at all.
pub fn witnesses(config: &Config) -> anyhow::Result<Witnesses> {
    let policy = address_policy(config);
    for witness in &config.audit.witnesses {
        policy.check_url(&witness.url).with_context(|| format!("audit.witnesses: {}", witness.key))?;
    }
    let all = config.audit.witnesses.iter().map(|witness| (witness.key.as_str(), witness.url.clone()));
    Witnesses::new(all, config.audit.quorum).context("audit.witnesses and audit.quorum")
}

fn egress_settings(config: &Config) -> anyhow::Result<client::Settings> {
    let proxy = config.deliver.proxy.as_ref().map(Proxy::parse).transpose().context("deliver.proxy")?;
    let authorities = match &config.deliver.authorities_file {
        Some(path) => std::fs::read_to_string(path).context("deliver.authorities_file cannot be read")?,
        None => String::new(),
    };
    Ok(client::Settings { authorities, proxy, ..client::Settings::new(ENDPOINT_CONNECT) })
}

pub(super) fn graph_client(config: &Config) -> anyhow::Result<GraphClient> {
    let timeouts = Timeouts { connect: config.meta.connect_timeout, total: config.meta.timeout };
    let client = GraphClient::new(config.meta.graph_url.clone(), &config.meta.graph_version, timeouts)?;
    Ok(client.with_media_hosts(&config.meta.media_hosts).proving(config.meta.appsecret_proof))
}

/// How fast the operator lets channels send.
pub fn pacing(config: &Config) -> Pacing {
    let per_second = match config.send.messages_per_second {
        Throughput::Reported => None,
        Throughput::Fixed(most) => i32::try_from(most).ok(),
        Throughput::Unlimited => Some(0),
    };
    Pacing { per_second, pairs: config.send.pair_limit }
}

fn notice(config: &Config) -> Option<Arc<Notice>> {
    let (version, text) = config.privacy.notice.clone()?;
    Some(Arc::new(Notice { version, text }))
}

const fn rules(config: &Config) -> Rules {
    let send = &config.send;
    Rules {
        window: send.check_window,
        consent: send.check_consent,
        templates: send.check_templates,
        window_closing: send.window_closing,
    }
}

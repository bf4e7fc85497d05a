//! What handlers are handed. Each layer around a handler clones all of it for each request, and the handler the parts it uses: so it is
//! one pointer, and every part is cheap to clone.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use axum::http::{Extensions, HeaderMap};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use super::graph::Mirror;
use super::peer::TrustedProxies;
use super::readers::Readers;
use super::reports::Reports;
use crate::access::usage::Usage;
use crate::access::{Caller, Door, Refused};
use crate::audit::Audit;
use crate::clock::SharedClock;
use crate::deliver::Deliveries;
use crate::directory::Directory;
use crate::egress::client::EgressClient;
use crate::ids::TenantId;
use crate::ingest::Ingest;
use crate::media::Fetcher;
use crate::posture::Desk;
use crate::privacy::Privacy;
use crate::send::Sender;
use crate::store::Store;
use crate::telemetry;

/// Everything that any handler uses. Clones are one.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// What it consists of. There is no keyring in it: content is opened behind the door alone.
pub struct Parts {
    /// Apps, channels, endpoints and API keys.
    pub directory: Directory,
    /// Takes webhooks.
    pub ingest: Ingest,
    /// Opens content.
    pub door: Door,
    /// Records what is done, and shows what was.
    pub audit: Audit,
    /// Those who stay to be told of events.
    pub readers: Readers,
    /// Files: where they are kept, and how they get from and to Meta.
    pub files: Fetcher,
    /// Forgets people, and holds what must stay.
    pub privacy: Privacy,
    /// Whether what should be done is done, and the record of processing.
    pub posture: Desk,
    /// Takes messages for Meta.
    pub sender: Sender,
    /// Passes other calls on to Meta.
    pub mirror: Mirror,
    /// Dead letters, replays, attempts.
    pub deliveries: Deliveries,
    /// Vets endpoint addresses and asks endpoints for their challenge.
    pub egress: EgressClient,
    /// For readiness, and to have Meta asked soon.
    pub store: Store,
    /// When.
    pub clock: SharedClock,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Whether this process is on its way out.
    pub draining: Draining,
    /// Who is believed when they say whom they speak for.
    pub proxies: TrustedProxies,
    /// When keys were used.
    pub usage: Usage,
    /// How often leaked keys may be reported.
    pub reports: Reports,
}

impl From<Parts> for AppState {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl AppState {
    /// The caller behind a key that came with these parts of a request.
    pub(super) fn caller(&self, key: &str, extensions: &Extensions, headers: &HeaderMap) -> Result<Caller, Refused> {
        let (now, from) = (self.clock.now(), self.proxies.origin(extensions, headers));
        let caller = Caller::authenticate(&self.directory.snapshot(), key, from, now)?;
        self.usage.note(&caller, now.date());
        Ok(caller)
    }
}

impl AppState {
    /// Counts a refusal of somebody without a valid key, so that somebody notices who tries.
    pub(super) fn refuse(&self, refused: Refused) {
        metrics::counter!(telemetry::REFUSED, "reason" => refused.word()).increment(1);
        self.door.refusals().alarms().note_refused(TenantId::DEFAULT, refused.into());
    }
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppState")
    }
}

/// Set when the process was told to stop: it is no longer ready, but still answers. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Draining(CancellationToken);

impl Draining {
    /// From now on load balancers shall look elsewhere.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether it began.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it begins: whoever stays leaves then.
    pub(super) async fn begun(&self) {
        self.0.cancelled().await;
    }
}

macro_rules! parts {
    ($($field:ident: $part:ty),+ $(,)?) => {$(
        impl FromRef<AppState> for $part {
            fn from_ref(state: &AppState) -> Self {
                state.$field.clone()
            }
        }
    )+};
}

parts! {
    directory: Directory,
    ingest: Ingest,
    door: Door,
    audit: Audit,
    files: Fetcher,
    privacy: Privacy,
    posture: Desk,
    sender: Sender,
    deliveries: Deliveries,
    egress: EgressClient,
    store: Store,
    clock: SharedClock,
    metrics: PrometheusHandle,
}

//! What all handlers share: who is played, the clock, the shelves, the faults, the ledger and the way out to the callback.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::account::Account;
use super::desk::Desk;
use super::faults::Faults;
use super::handle::SimulatorConfig;
use super::ladder::Due;
use super::ledger::Ledger;
use super::limits::Limits;
use super::media::MediaShelf;
use super::payloads::Business;
use super::settings::Settings;
use super::templates::TemplateShelf;
use super::webhooks;
use crate::clock::SharedClock;

/// The simulated side of Meta.
pub(super) struct Platform {
    pub(super) config: SimulatorConfig,
    pub(super) business: Business,
    pub(super) base_url: String,
    pub(super) clock: SharedClock,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    pub(super) limits: Limits,
    pub(super) media: MediaShelf,
    pub(super) templates: TemplateShelf,
    pub(super) account: Account,
    pub(super) desk: Desk,
    pub(super) client: reqwest::Client,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) due: UnboundedSender<Due>,
    settings: RwLock<Arc<Settings>>,
}

impl Platform {
    /// The platform, and the statuses that become due, for [`super::ladder::post_due`].
    pub(super) fn new(
        config: SimulatorConfig,
        base_url: String,
        clock: SharedClock,
    ) -> io::Result<(Arc<Self>, UnboundedReceiver<Due>)> {
        let (due, receiver) = unbounded_channel();
        let business = Business {
            waba_id: config.waba_id.clone(),
            phone_number_id: config.phone_number_id.clone(),
            display_phone_number: config.display_phone_number.chars().filter(char::is_ascii_digit).collect(),
        };
        let platform = Self {
            business,
            base_url,
            clock,
            faults: Faults::default(),
            ledger: Ledger::default(),
            limits: Limits::default(),
            media: MediaShelf::default(),
            templates: TemplateShelf::seeded(),
            account: Account::new(config.callback_url.clone(), &config),
            desk: Desk::new(),
            client: webhooks::client().map_err(io::Error::other)?,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            due,
            settings: RwLock::default(),
            config,
        };
        Ok((Arc::new(platform), receiver))
    }

    /// The settings in force now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the settings.
    pub(super) fn configure(&self, settings: Settings) {
        self.ledger.keep_at_most(settings.ledger_keep);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Waits, but not beyond the stop of the simulator. False when it is stopping.
    pub(super) async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// Unix seconds.
    pub(super) fn seconds(&self) -> i64 {
        self.clock.now().unix_timestamp()
    }
}

//! What is asked of Meta regularly, by one process at a time: templates every few hours and whenever a webhook says that they
//! changed, the state of the numbers every quarter of an hour. That it fails stops nobody from sending.

mod number;
mod pin;
mod templates;

pub use pin::{PinError, is_pin};

use std::collections::BTreeSet;
use std::sync::Arc;

use time::Duration;
use tokio_util::sync::CancellationToken;

use super::Sender;
use crate::directory::{LoadError, SaveError};
use crate::domain::channel::Channel;
use crate::ids::{TenantId, WabaId};
use crate::keyring::KeyringError;
use crate::meta::client::ReadError;
use crate::store::StoreError;
use crate::store::polls::{Kind, Turn};
use crate::telemetry::Trouble;

/// What is due is looked for this often.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);
/// A turn that is not finished by then is another's: longer than a list of many pages takes.
const TURN: Duration = Duration::minutes(10);
/// Turns taken at once.
const AT_ONCE: i64 = 4;
/// Templates are read this often without being asked for.
const TEMPLATES_EVERY: Duration = Duration::hours(4);
/// Numbers are looked at this often.
const NUMBERS_EVERY: Duration = Duration::minutes(15);
/// The wait after a failure; doubles up to the regular one.
const AFTER_FAILURE: Duration = Duration::seconds(30);

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
    #[error("what was stored cannot be read")]
    Load(#[from] LoadError),
    #[error("what was read cannot be stored")]
    Save(#[from] SaveError),
    #[error("Meta did not answer")]
    Meta(#[from] ReadError),
    /// The channel or its token is gone.
    #[error("there is no channel with a token")]
    NoChannel,
}

/// Asks until told to stop.
pub async fn run(sender: Sender, stop: CancellationToken) {
    let mut trouble = Trouble::none(
        "what is asked of Meta regularly cannot be looked through",
        "what is asked of Meta regularly can be looked through again",
    );
    let mut seen = None;
    loop {
        trouble.note(&sender.ask_what_is_due(&mut seen).await);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Keeps the templates in memory up to date until told to stop.
pub async fn keep_book(sender: Sender, stop: CancellationToken) {
    let mut trouble =
        Trouble::none("the templates cannot be read; those of before are believed", "the templates can be read again");
    loop {
        trouble.note(&sender.book.refresh(&sender.store, &sender.directory, sender.clock.now()).await);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Sender {
    async fn ask_what_is_due(&self, seen: &mut Option<i64>) -> Result<(), StoreError> {
        let (snapshot, now) = (self.directory.snapshot(), self.clock.now());
        if *seen != Some(snapshot.version) {
            let mut wanted = BTreeSet::new();
            for channel in snapshot.all_channels().filter(|channel| channel.token.is_some()) {
                wanted.insert((channel.tenant, "templates", channel.waba_id.as_str().to_owned()));
                wanted.insert((channel.tenant, "number", channel.id.to_string()));
            }
            let kind = |kind: &str| if kind == "number" { Kind::Number } else { Kind::Templates };
            let wanted: Vec<_> = wanted.into_iter().map(|(tenant, what, owner)| (tenant, kind(what), owner)).collect();
            self.store.ensure_polls(&wanted, now).await?;
            *seen = Some(snapshot.version);
        }
        for turn in self.store.take_turns(now, now + TURN, AT_ONCE).await? {
            self.ask(&turn).await;
        }
        Ok(())
    }

    async fn ask(&self, turn: &Turn) {
        let (done, every) = match turn.kind.as_str() {
            "number" => (self.ask_number(turn).await, NUMBERS_EVERY),
            _ => (self.ask_templates(turn).await, TEMPLATES_EVERY),
        };
        let Err(error) = done else { return };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(kind = turn.kind, owner = turn.owner, %error, cause, "Meta could not be asked; it is asked again");
        let wait = AFTER_FAILURE * 2_i32.pow(u32::try_from(turn.failures.clamp(0, 8)).unwrap_or(0));
        if let Err(error) = self.store.fail_turn(turn, self.clock.now() + wait.min(every)).await {
            tracing::debug!(%error, "a turn could not be given back; it is due again when it ends");
        }
    }

    /// A channel of this account that can ask.
    fn channel_of(&self, tenant: TenantId, account: &WabaId) -> Option<Arc<Channel>> {
        let snapshot = self.directory.snapshot();
        let mut channels = snapshot.channels_of(tenant).into_iter();
        channels.find(|channel| channel.waba_id == *account && channel.token.is_some()).cloned()
    }
}

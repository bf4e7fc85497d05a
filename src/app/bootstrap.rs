//! The one number that the environment describes: set up at the start, or brought up to date.

use anyhow::Context as _;

use uuid::Uuid;

use super::Base;
use crate::audit::{Act, Action, Actor, AuditError, Object};
use crate::config::{Bootstrap, Config};
use crate::directory::{App, SaveError};
use crate::domain::channel::{Channel, MediaMode};
use crate::domain::door::DoorPolicy;
use crate::domain::keeping::KeepPolicy;
use crate::ids::{AppId, ChannelId, PhoneNumberId, TenantId, WabaId};

impl Base {
    /// Sets up the one number that the environment describes, or brings its secrets up to date. Another process may do the
    /// same at the same moment: what is found changed is read again, once.
    pub(super) async fn bootstrap(&self, config: &Config) -> anyhow::Result<()> {
        let Some(bootstrap) = &config.bootstrap else { return Ok(()) };
        let app = match self.bootstrap_app(bootstrap).await {
            Err(error) if lost_a_race(&error) => self.bootstrap_app(bootstrap).await,
            result => result,
        };
        app.context("the app of the environment could not be saved")?;
        let channel = match self.bootstrap_channel(bootstrap).await {
            Err(error) if lost_a_race(&error) => self.bootstrap_channel(bootstrap).await,
            result => result,
        };
        match channel {
            // There is a channel of this number, but it was left out when the settings were read. Webhooks are still taken.
            Err(SaveError::Conflict) => {
                tracing::error!("the channel of the environment's number does not open; remove it and start again");
                Ok(())
            }
            result => result.context("the number of the environment could not be saved"),
        }
    }

    async fn bootstrap_app(&self, bootstrap: &Bootstrap) -> Result<(), SaveError> {
        self.directory.reload().await?;
        let (tenant, now, snapshot) = (TenantId::DEFAULT, self.clock.now(), self.directory.snapshot());
        let secret = bootstrap.app_secret.clone();
        let mut action = Action::AppChanged;
        let mut app = match snapshot.apps.iter().find(|app| app.tenant == tenant && app.name == BOOTSTRAP) {
            Some(app) if app.secret.matches(secret.expose()) => {
                if app.verify_token.matches(bootstrap.verify_token.expose()) {
                    return Ok(());
                }
                app.clone()
            }
            Some(app) => app.rotated(secret),
            None => {
                action = Action::AppCreated;
                let (id, name) = (AppId::new(now), BOOTSTRAP.to_owned());
                App::new(tenant, id, name, secret, bootstrap.verify_token.clone(), now)
            }
        };
        app.verify_token = bootstrap.verify_token.clone();
        self.tell(action, "app", app.id.uuid()).await?;
        self.directory.save_app(&app).await
    }

    /// Before the change, as for everybody else.
    async fn tell(&self, action: Action, class: &'static str, id: Uuid) -> Result<(), SaveError> {
        let act = Act::new(TenantId::DEFAULT, Actor::GATEWAY, action, Object::one(class, id)).with(&["environment"]);
        match self.audit.record(act).await {
            Ok(_) => Ok(()),
            Err(AuditError::Store(error)) => Err(SaveError::Store(error)),
            Err(AuditError::Keys(error)) => Err(SaveError::Keys(error)),
        }
    }

    async fn bootstrap_channel(&self, bootstrap: &Bootstrap) -> Result<(), SaveError> {
        self.directory.reload().await?;
        let (tenant, snapshot) = (TenantId::DEFAULT, self.directory.snapshot());
        let number = PhoneNumberId::new(bootstrap.phone_number_id.clone());
        let known = snapshot.channel_by_number(tenant, &number);
        let current = known.and_then(|channel| channel.token.as_ref());
        if current.is_some_and(|token| token.matches(bootstrap.access_token.expose())) {
            return Ok(());
        }
        let channel = Channel {
            tenant,
            id: known.map_or_else(|| ChannelId::new(self.clock.now()), |channel| channel.id),
            phone_number_id: number,
            waba_id: WabaId::new(bootstrap.waba_id.clone()),
            name: known.map_or_else(|| BOOTSTRAP.to_owned(), |channel| channel.name.clone()),
            token: Some(bootstrap.access_token.clone()),
            per_second: known.and_then(|channel| channel.per_second),
            media: MediaMode::default(),
            door: DoorPolicy::default(),
            retention: KeepPolicy::default(),
            changed_at: known.and_then(|channel| channel.changed_at),
        };
        let action = if known.is_some() { Action::ChannelChanged } else { Action::ChannelCreated };
        self.tell(action, "channel", channel.id.uuid()).await?;
        self.directory.save_channel(&channel).await
    }
}

const fn lost_a_race(error: &SaveError) -> bool {
    matches!(error, SaveError::Stale | SaveError::Gone | SaveError::Conflict)
}

/// Name of what the environment set up.
const BOOTSTRAP: &str = "environment";

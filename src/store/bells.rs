//! Calls between processes: "something was put into these lanes". A hint over Postgres's NOTIFY; nothing depends on it.

use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::timeout;
use uuid::Uuid;

use super::{Store, StoreError};

const CHANNEL: &str = "waxseal_lanes";
/// Postgres takes less than 8,000 bytes at once. When more lanes are meant than fit, all are.
const MOST: usize = 200;
const ALL: &str = "*";
const FORGOTTEN: &str = "forgotten";
/// After so long a silence the connection is asked whether it is still there, and has so long to answer.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// Who is called.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// The lanes of these endpoints and channels.
    Some(Vec<Uuid>),
    /// Too many to name, or some were not heard.
    All,
    /// Keys of these contacts are forgotten; none named: of many.
    Forgotten(Vec<Uuid>),
    /// The connection was gone for a while: anything may have been missed.
    Missed,
}

impl Call {
    fn write(owners: &[Uuid]) -> String {
        match owners.len() {
            0..=MOST => owners.iter().map(|owner| owner.simple().to_string()).collect::<Vec<_>>().join(" "),
            _ => ALL.to_owned(),
        }
    }

    /// A release that does not know the word takes it for a call of all lanes.
    fn write_forgotten(contacts: &[Uuid]) -> String {
        let some = if contacts.len() <= MOST { contacts } else { &[] };
        std::iter::once(FORGOTTEN.to_owned())
            .chain(some.iter().map(|one| one.simple().to_string()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn read(text: &str) -> Self {
        if let Some(contacts) = text.strip_prefix(FORGOTTEN) {
            let contacts: Result<Vec<Uuid>, _> = contacts.split_ascii_whitespace().map(Uuid::parse_str).collect();
            return Self::Forgotten(contacts.unwrap_or_default());
        }
        let owners: Result<Vec<Uuid>, _> = text.split_ascii_whitespace().map(Uuid::parse_str).collect();
        owners.map_or(Self::All, Self::Some)
    }
}

/// How a listener connects. Holds a password, and so prints nothing.
#[derive(Clone)]
pub(super) struct Listening(pub(super) PgConnectOptions);

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listening(…)")
    }
}

/// A connection that does nothing but listen.
#[derive(Debug)]
pub struct LaneListener(PgListener);

impl LaneListener {
    async fn connect(Listening(options): &Listening) -> Result<Self, StoreError> {
        // A pool of its own, so that no other statement waits for this connection.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let mut listener = PgListener::connect_with(&pool.connect_with(options.clone()).await?).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// The next call. An error ends the listening; another listener has to be made.
    pub async fn heard(&mut self) -> Result<Call, StoreError> {
        loop {
            if let Ok(call) = timeout(SILENCE, self.0.try_recv()).await {
                return Ok(call?.map_or(Call::Missed, |call| Call::read(call.payload())));
            }
            timeout(ANSWER, self.0.execute("SELECT 1")).await.map_err(|_| StoreError::Unavailable)??;
        }
    }
}

impl Store {
    /// Listens for calls of other processes, and of this one.
    pub async fn listen_for_lanes(&self) -> Result<LaneListener, StoreError> {
        LaneListener::connect(&self.listening).await
    }

    /// Calls the owners of these lanes. Serialises commits for a moment, so never from within a transaction, and not often.
    pub async fn call_lanes(&self, owners: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, Call::write(owners)).execute(&self.data).await?;
        Ok(())
    }

    /// Tells every process that keys of these contacts are forgotten; none named: of many.
    pub async fn call_forgotten(&self, contacts: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, Call::write_forgotten(contacts)).execute(&self.data).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_its_lanes_while_they_fit_into_a_notification() {
        let owners: Vec<Uuid> = (0..=MOST as u128).map(Uuid::from_u128).collect();
        let (fits, text) = (&owners[..MOST], Call::write(&owners[..MOST]));
        assert!(text.len() < 8_000);
        assert_eq!(Call::read(&text), Call::Some(fits.to_vec()));
        assert_eq!(Call::read(&Call::write(&owners)), Call::All);
        assert_eq!(Call::read("what a later release says"), Call::All);
        assert_eq!(Call::read(&Call::write_forgotten(&owners[..2])), Call::Forgotten(owners[..2].to_vec()));
        assert_eq!(Call::read(&Call::write_forgotten(&owners)), Call::Forgotten(Vec::new()));
    }
}

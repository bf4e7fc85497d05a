//! Whether what this installation should do for privacy and security is done, measured at this moment, and the record of processing that is
//! written from it. Each control says what it rests on; those that nobody can measure from here are named too, so that nothing passes
//! for done in silence. The command line and the API tell the same, out of this room.

mod backups;
mod declared;
mod desk;
mod facts;
mod judge;
mod record;
mod samples;
mod stores;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

pub use self::declared::Declared;
pub use self::desk::{Desk, DeskError};
pub use self::judge::NAMES;
pub use self::record::{Record, Said, Section};
pub use self::stores::Reveals;
use crate::audit::{Act, Action, Actor, Audit, AuditError, CheckError, Object};
use crate::clock::SharedClock;
use crate::directory::{Directory, LoadError};
use crate::ids::TenantId;
use crate::keyring::{Keyring, KeyringError};
use crate::privacy::{Attested, Privacy, PrivacyError};
use crate::store::{Store, StoreError};

/// Whose installation it is.
const TENANT: TenantId = TenantId::DEFAULT;

/// How a control stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works.
    Green,
    /// It is off, or does not work.
    Red,
    /// Nobody can measure it from here: it is for people to see to.
    Yours,
}

impl State {
    /// The stable name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Red => "red",
            Self::Yours => "yours",
        }
    }
}

/// One thing that should be so.
#[derive(Debug, Clone)]
pub struct Control {
    /// The stable name.
    pub name: &'static str,
    /// What the article asks for, in a few words.
    pub claim: &'static str,
    /// How it stands.
    pub state: State,
    /// What was measured. No path, address of a server or datum of a person.
    pub evidence: String,
}

/// What was found at one moment.
#[derive(Debug, Clone)]
pub struct Measured {
    /// When it was measured.
    pub at: OffsetDateTime,
    /// Every control, in the order of the article.
    pub controls: Vec<Control>,
    /// What each store reveals when it is stolen.
    pub reveals: Vec<Reveals>,
    /// How old the oldest of each class is.
    oldest: Vec<Attested>,
    /// The region that the data are marked with.
    region: Option<String>,
}

impl Measured {
    /// What was found, of an installation without data and region.
    #[cfg(test)]
    pub(crate) const fn new(at: OffsetDateTime, controls: Vec<Control>, reveals: Vec<Reveals>) -> Self {
        Self { at, controls, reveals, oldest: Vec::new(), region: None }
    }

    /// How many controls stand so.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.controls.iter().filter(|one| one.state == state).count()
    }
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum PostureError {
    /// The database.
    #[error("what is stored could not be looked at")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the keys could not be looked at")]
    Keys(#[from] KeyringError),
    /// The settings.
    #[error("the settings could not be looked at")]
    Settings(#[from] LoadError),
    /// The log could not be read.
    #[error("the audit log could not be checked")]
    Check(#[from] CheckError),
    /// No entry, no opening.
    #[error("the measurement could not be recorded")]
    Audit(#[from] AuditError),
    /// What is kept and forgotten.
    #[error("what is kept could not be looked at")]
    Privacy(#[from] PrivacyError),
}

impl PostureError {
    /// Whether the same may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
            Self::Settings(error) => error.is_retryable(),
            Self::Check(_) | Self::Audit(_) => true,
            Self::Privacy(error) => error.is_retryable(),
        }
    }
}

/// Measures the installation as this process sees it. Clones share everything.
#[derive(Debug, Clone)]
pub struct Posture {
    /// What is stored.
    pub store: Store,
    /// What it is sealed with.
    pub keyring: Keyring,
    /// The settings.
    pub directory: Directory,
    /// Where it is recorded that something was measured, and what was found.
    pub audit: Audit,
    /// What is kept and forgotten.
    pub privacy: Privacy,
    /// Whether Postgres keeps the rows of tenants apart; else why not.
    pub rows_kept: Result<(), &'static str>,
    /// What the configuration says.
    pub declared: Arc<Declared>,
    /// When.
    pub clock: SharedClock,
}

impl Posture {
    /// Measures every control, and records who had it done and what was found, so that the trend can be followed in the log alone. It looks at
    /// every row and reads the whole log: seconds for each million of them.
    ///
    /// Killed in between, the log says that something was measured and not what was found; nothing else is written.
    pub async fn measure(&self, actor: Actor) -> Result<Measured, PostureError> {
        let act = |action| Act::new(TENANT, actor, action, Object::several("posture"));
        // Some of what is sampled is opened, and dropped: no entry, no opening.
        self.audit.record(act(Action::PostureMeasured)).await?;
        let facts = Box::pin(facts::gather(self)).await?;
        let controls = judge::all(&facts);
        let red: Vec<&str> = controls.iter().filter(|one| one.state == State::Red).map(|one| one.name).collect();
        self.audit.record(act(Action::PostureFound).times(controls.len()).with(&red)).await?;
        let reveals = stores::reveals(&facts);
        let region = facts.region.map(|(name, _)| name);
        Ok(Measured { at: facts.now, controls, reveals, oldest: facts.oldest, region })
    }
}

/// How long ago, in the largest whole unit.
fn ago(span: Duration) -> String {
    match span.whole_seconds() {
        ..120 => format!("{} s ago", span.whole_seconds().max(0)),
        120..7200 => format!("{} min ago", span.whole_minutes()),
        7200..172_800 => format!("{} h ago", span.whole_hours()),
        _ => format!("{} days ago", span.whole_days()),
    }
}

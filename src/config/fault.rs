//! What can be wrong with a configuration. Faults name keys and never repeat what a secret said.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One thing to mend, in the words of the person who mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key (`server.drain_seconds`) or the environment variable at fault.
    pub key: String,
    /// What is wrong, and what is expected instead.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// Why no configuration came of it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not TOML. Only the place is told: the line itself may hold a secret.
    #[error("the configuration file {} is not TOML: {place}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and column.
        place: String,
    },
    /// The layers do not fit each other: a section is a plain value in one of them, for instance.
    #[error("the layers of the configuration do not fit together")]
    Layers,
    /// Everything that is wrong with the keys, at once, in the order of the manual.
    #[error("the configuration has {} {}:{}", faults.len(), if faults.len() == 1 { "fault" } else { "faults" }, listed(faults))]
    Faults {
        /// Never empty.
        faults: Vec<Fault>,
    },
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().fold(String::new(), |list, fault| list + "\n  - " + &fault.to_string())
}

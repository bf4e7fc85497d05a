//! `[log]`: how much is logged, and in which form.

use std::str::FromStr;

use tracing::Level;

use super::reader::Reader;

/// Logging.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The least urgent level that is written.
    pub level: Level,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    Json,
    /// Text, for people.
    Text,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(()),
        }
    }
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let level = reader.parsed("log.level", "error, warn, info, debug or trace");
        let format = reader.parsed("log.format", "json or text");
        Some(Self { level: level?, format: format? })
    }
}

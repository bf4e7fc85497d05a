//! `[ingest]`: how webhooks are gathered into transactions.

use std::time::Duration;

use super::reader::Reader;

/// Limits of the queue between the webhook and the database.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Bytes of bodies that may wait; at least one webhook of the greatest size fits.
    pub queue_bytes: usize,
    /// Events per transaction at most.
    pub batch_rows: usize,
    /// Bytes after which a transaction is closed.
    pub batch_bytes: usize,
    /// Transactions side by side.
    pub writers: usize,
    /// How long a webhook waits for its commit.
    pub commit_timeout: Duration,
}

impl IngestConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let queue_bytes = reader.number("ingest.queue_bytes", (4 << 20)..=(4 << 30));
        let batch_rows = reader.number("ingest.batch_rows", 1..=10_000);
        let batch_bytes = reader.number("ingest.batch_bytes", (64 << 10)..=(64 << 20));
        let writers = reader.number("ingest.writers", 1..=16);
        let commit_timeout = reader.millis("ingest.commit_timeout_ms", 100..=60_000);
        Some(Self {
            queue_bytes: queue_bytes?,
            batch_rows: batch_rows?,
            batch_bytes: batch_bytes?,
            writers: writers?,
            commit_timeout: commit_timeout?,
        })
    }
}

//! Latencies in logarithmic buckets: constant memory, and no value off by more than 1.6 percent.

use std::time::Duration;

/// Each power of two is cut into this many buckets.
const STEPS_LOG2: u32 = 6;
const STEPS: usize = 1 << STEPS_LOG2;

/// Counts of latencies, from a nanosecond to centuries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let bucket = bucket_of(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts.iter_mut().skip(bucket).take(1).for_each(|count| *count += 1);
        self.total += 1;
    }

    /// Counts everything that `other` counted.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.total += other.total;
    }

    /// The latency that `share` of all (0 to 1) did not exceed, rounded up to the end of its bucket; zero when nothing
    /// was counted.
    #[expect(clippy::cast_sign_loss, reason = "a share of a count is not negative")]
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(bucket.map_or(0, upper_end))
    }
}

/// Values below [`STEPS`] have a bucket each; above, the highest seven bits of a value name its bucket.
fn bucket_of(value: u64) -> usize {
    let Some(exponent) = value.checked_ilog2().filter(|exponent| *exponent >= STEPS_LOG2) else {
        return value as usize;
    };
    let shift = exponent - STEPS_LOG2;
    (shift as usize) * STEPS + (value >> shift) as usize
}

fn upper_end(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let shift = (bucket / STEPS - 1) as u32;
    let first = (bucket - (bucket / STEPS - 1) * STEPS) as u64;
    // The last bucket of all ends above u64.
    (u128::from(first + 1) << shift).saturating_sub(1).try_into().unwrap_or(u64::MAX)
}

//! Work that blocks its thread, perhaps for ever, as a library does whose device is gone. One call at a time, on a thread of its own: what
//! hangs takes none of the threads that others need, and neither holds up the end of the process.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::crypto::kms::KmsError;

/// Where calls wait for their turn. As long as one hangs, the others wait, and are given up by whoever waits for them.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Does the work when it is its turn. Who stops waiting leaves the work to itself; the turn is over when it returns.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, KmsError> + Send + 'static,
    ) -> Result<T, KmsError> {
        let turn = self.0.clone().acquire_owned().await.map_err(|_| KmsError::Unavailable)?;
        let (done, answer) = oneshot::channel();
        let thread = std::thread::Builder::new().name("kms".to_owned()).spawn(move || {
            let answer = work();
            drop(turn);
            drop(done.send(answer)); // nobody waits for it any more
        });
        thread.map_err(|_| KmsError::Unavailable)?;
        answer.await.unwrap_or(Err(KmsError::Unavailable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;
    use tokio::time::timeout;

    #[test]
    fn a_call_that_hangs_keeps_the_next_waiting_and_nothing_else() {
        let (free, hang) = mpsc::channel::<()>();
        let turns = Turns::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let hanging = turns.run(move || hang.recv().map_err(|_| KmsError::Refused));
            timeout(Duration::from_secs(10), hanging).await.unwrap_err();
            timeout(Duration::from_secs(10), turns.run(|| Ok(1))).await.unwrap_err();
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        });
        // Would wait for a thread of the runtime that hangs.
        drop(runtime);
        free.send(()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(turns.run(|| Ok(2))).unwrap(), 2);
        let panics = turns.run(|| -> Result<(), KmsError> { panic!("a library at its worst") });
        assert_eq!(runtime.block_on(panics).unwrap_err(), KmsError::Unavailable);
        assert_eq!(runtime.block_on(turns.run(|| Ok(3))).unwrap(), 3);
    }
}

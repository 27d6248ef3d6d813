//! A call of librdkafka that may never return, made on a thread of its own so that it can be given up.
//!
//! | call | waits without end when |
//! |---|---|
//! | adding offsets to a transaction | librdkafka was told three times, a few milliseconds apart, that there is no coordinator at present (`rdkafka_coord.c`: nobody looks whether the request can be tried once more) |
//! | answering a rebalance of a consumer that is closed | the group ends between the request and its turn: its main thread then throws the request away, without an answer (`rd_kafka_cgrp_op_serve`) |
//! | destroying a consumer that was not closed in time | a rebalance is still to be answered: the second close is refused because of the first, and the main thread waits for a group that never ends (`rd_kafka_cgrp_terminate0`) |
//!
//! All as of librdkafka 2.12.1. Nothing ends such a wait but the process: the thread keeps what it
//! has of the client, and is left behind.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// A call on its way.
pub(super) struct Call<R>(Receiver<R>);

impl<R: Send + 'static> Call<R> {
    /// What `call` owns is dropped on its thread, before its outcome is told.
    pub(super) fn start(name: &str, call: impl FnOnce() -> R + Send + 'static) -> Self {
        let (tell, told) = sync_channel(1);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let spawned = thread.spawn(move || {
            // Nobody listens any more if it took too long.
            drop(tell.send(call()));
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "cannot start a thread");
        }
        Call(told)
    }

    /// None if it does not return in time.
    pub(super) fn outcome(&self, limit: Duration) -> Option<R> {
        self.0.recv_timeout(limit).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::Wake;

    #[test]
    fn a_call_that_never_returns_is_given_up_in_time() {
        let never: Call<()> = Call::start("never", || {
            loop {
                Wake::default().sleep(Duration::from_secs(3_600));
            }
        });
        assert_eq!(never.outcome(Duration::from_millis(20)), None);
    }

    #[test]
    fn what_a_call_owns_is_gone_when_its_outcome_is_told() {
        let client = Arc::new(());
        let kept = Arc::clone(&client);
        let call = Call::start("client", move || drop(kept));
        assert_eq!(call.outcome(Duration::from_secs(10)), Some(()));
        assert_eq!(Arc::strong_count(&client), 1);
    }
}

//! Calls that end when the test says so.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::async_calls::AsyncCalls;
use super::call_queue::{CallQueue, Origin, PendingCalls, Until};
use super::executor::Executor;
use crate::error::{Error, ErrorKind};
use crate::record::Offset;
use crate::time::Timestamp;

/// A queue, and calls that tell when they begin and end when they are told to.
struct Bench {
    executor: Executor,
    calls: CallQueue<&'static str, i64>,
    begun_to: mpsc::UnboundedSender<i64>,
    begun: mpsc::UnboundedReceiver<i64>,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Bench {
    fn new(policy: AsyncCalls) -> Self {
        let executor = Executor::default();
        let handle = executor.handle().unwrap();
        let (begun_to, begun) = mpsc::unbounded_channel();
        Bench {
            executor,
            calls: CallQueue::new(policy, handle),
            begun_to,
            begun,
            running: Arc::default(),
            most: Arc::default(),
        }
    }

    /// Starts a call, which answers its offset once it is told to end.
    fn start(&self, key: &'static str, offset: i64) -> oneshot::Sender<()> {
        let (end, ends) = oneshot::channel();
        let begun = self.begun_to.clone();
        let (running, most) = (Arc::clone(&self.running), Arc::clone(&self.most));
        self.calls.start(key, origin(offset), async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            begun.send(offset).unwrap();
            let told: Result<(), oneshot::error::RecvError> = ends.await;
            running.fetch_sub(1, Ordering::SeqCst);
            let not_told = |cause| Error::new(ErrorKind::Processing, "not told").because(cause);
            told.map(|()| offset).map_err(not_told)
        });
        end
    }

    /// Waits until a call has begun.
    fn next_begun(&mut self) -> i64 {
        let handle = self.executor.handle().unwrap();
        let begun =
            async { tokio::time::timeout(Duration::from_secs(10), self.begun.recv()).await };
        handle.block_on(begun).unwrap().unwrap()
    }

    /// Waits for the next result that may go on.
    fn take(&self) -> i64 {
        let from = next(&self.calls, Until::Done).unwrap();
        let result = self.calls.take().unwrap().unwrap();
        assert_eq!(from, origin(result), "a result is of its own record");
        result
    }
}

/// What the worker does: takes what is there, waits for more if it must.
fn next<K: Clone + Eq + Hash + 'static>(calls: &CallQueue<K, i64>, until: Until) -> Option<Origin> {
    loop {
        let ready = calls.ready();
        if ready.is_some() || !calls.awaits(until) {
            return ready;
        }
        calls.wait(Duration::MAX);
    }
}

fn origin(offset: i64) -> Origin {
    Origin {
        at: Some((0, Offset::new(offset))),
        stream_time: Timestamp::from_millis(offset),
        time_before: Timestamp::NONE,
    }
}

fn end(calls: impl IntoIterator<Item = oneshot::Sender<()>>) {
    calls.into_iter().for_each(|call| call.send(()).unwrap());
}

#[test]
fn results_go_on_in_the_order_of_the_records() {
    let mut bench = Bench::new(AsyncCalls::new());
    let [a, b, c] = [("a", 0), ("b", 1), ("c", 2)].map(|(key, at)| bench.start(key, at));
    for _ in 0..3 {
        bench.next_begun();
    }
    end([c, b]);
    assert!(
        next(&bench.calls, Until::Room).is_none(),
        "the first is awaited"
    );
    end([a]);
    assert_eq!([(); 3].map(|()| bench.take()), [0, 1, 2]);
    assert!(next(&bench.calls, Until::Done).is_none());
}

#[test]
fn in_key_order_a_result_waits_for_its_key_only() {
    let mut bench = Bench::new(AsyncCalls::new().in_key_order());
    let [a, b, a2] = [("a", 0), ("b", 1), ("a", 2)].map(|(key, at)| bench.start(key, at));
    end([b, a2]);
    assert_eq!(bench.take(), 1);
    end([a]);
    assert_eq!([(); 2].map(|()| bench.take()), [0, 2]);
    assert_eq!(
        [(); 3]
            .map(|()| bench.next_begun())
            .into_iter()
            .sum::<i64>(),
        3
    );
}

#[test]
fn a_call_begins_when_the_one_before_it_of_its_key_has_ended() {
    let mut bench = Bench::new(AsyncCalls::new());
    let (first, second) = (bench.start("a", 0), bench.start("a", 1));
    let other = bench.start("b", 2);
    let begun = [(); 2].map(|()| bench.next_begun());
    assert!(!begun.contains(&1), "{begun:?}");
    end([first]);
    assert_eq!(bench.next_begun(), 1);
    end([second, other]);
    assert_eq!([(); 3].map(|()| bench.take()), [0, 1, 2]);
}

#[test]
fn overlapping_calls_of_a_key_still_report_in_order() {
    let mut bench = Bench::new(AsyncCalls::new().overlapping().in_key_order());
    let (first, second) = (bench.start("a", 0), bench.start("a", 1));
    assert_eq!(
        [(); 2]
            .map(|()| bench.next_begun())
            .into_iter()
            .sum::<i64>(),
        1
    );
    end([second]);
    assert!(next(&bench.calls, Until::Room).is_none());
    end([first]);
    assert_eq!([(); 2].map(|()| bench.take()), [0, 1]);
}

#[test]
fn no_more_calls_run_than_are_allowed_even_if_one_record_makes_more() {
    let keys = ["a", "b", "c", "d", "e", "f"];
    let bench = Bench::new(AsyncCalls::new().max_in_flight(2));
    let calls: Vec<_> = (0..)
        .zip(keys)
        .map(|(at, key)| bench.start(key, at))
        .collect();
    end(calls);
    assert!(
        next(&bench.calls, Until::Room).is_some(),
        "full: it waits for the first"
    );
    assert_eq!([(); 6].map(|()| bench.take()), [0, 1, 2, 3, 4, 5]);
    assert!(bench.most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn calls_that_are_taken_back_answer_nothing_and_their_keys_go_on() {
    let mut bench = Bench::new(AsyncCalls::new());
    let kept = bench.start("a", 0);
    bench.calls.hold();
    let undone = [bench.start("a", 1), bench.start("b", 2)];
    bench.calls.undo();
    let [after, other] = [("a", 3), ("b", 4)].map(|(key, at)| bench.start(key, at));
    let mut begun = vec![bench.next_begun(), bench.next_begun()];
    begun.retain(|offset| *offset != 2);
    assert!(
        !begun.contains(&1) && !begun.contains(&3),
        "{begun:?}: 0 has not ended"
    );
    end([kept, after, other]);
    assert_eq!([(); 3].map(|()| bench.take()), [0, 3, 4]);
    assert!(next(&bench.calls, Until::Done).is_none());
    drop(undone);
}

#[test]
fn a_dropped_queue_cancels_its_calls() {
    let mut bench = Bench::new(AsyncCalls::new());
    let mut end = bench.start("a", 0);
    assert_eq!(bench.next_begun(), 0);
    let handle = bench.executor.handle().unwrap();
    drop(bench.calls);
    let cancelled = async { tokio::time::timeout(Duration::from_secs(10), end.closed()).await };
    handle
        .block_on(cancelled)
        .expect("nobody waits for its end any more");
}

#[test]
fn a_call_that_blocks_its_thread_is_given_up() {
    let policy = AsyncCalls::new().timeout(Duration::from_millis(1));
    let executor = Executor::default();
    let calls = CallQueue::<_, i64>::new(policy, executor.handle().unwrap());
    let (release, released) = std::sync::mpsc::channel::<()>();
    calls.start("a", origin(7), async move {
        Ok(released.recv().map_or(7, |()| 8))
    });
    assert_eq!(next(&calls, Until::Done), Some(origin(7)));
    let error = calls.take().unwrap().unwrap_err().to_string();
    assert!(error.contains("spawn_blocking"), "{error}");
    drop(release);
}

#[test]
fn a_call_whose_runtime_is_gone_has_failed() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let calls = CallQueue::<_, i64>::new(AsyncCalls::new(), runtime.handle().clone());
    calls.start("a", origin(0), std::future::pending());
    drop(runtime);
    assert_eq!(next(&calls, Until::Done), Some(origin(0)));
    let error = calls.take().unwrap().unwrap_err().to_string();
    assert!(error.contains("does its runtime live"), "{error}");
}

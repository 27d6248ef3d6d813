//! Questions to stores from outside the workers, and their way to the worker that has the store.
//!
//! ```text
//!   caller ──> Desk: who has the task? ──> the worker's queue, its bell rung ──> between two tasks'
//!     ^                                                                         turns: the answer
//!     └───────────────────────────── oneshot ────────────────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - Stores stay on their thread: a worker answers, between two turns, from what is committed.
//! - A queue has a limit, and so has what a worker answers before it goes on with its records.
//! - No question is left waiting: a worker that ends drops its queue, which its callers notice.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::worker::Worker;
use crate::broker::{Cluster, Wake};
use crate::error::Error;
use crate::record::TaskId;
use crate::state::{ANSWER_ENTRIES_MAX, Answer, Question};

/// How many questions wait for a worker; more are refused.
pub(crate) const WAITING_MAX: usize = 10_000;

/// How many entries a worker reads for questions before it goes on: some slices, or many gets.
const TURN_ENTRIES_MAX: usize = 2 * ANSWER_ENTRIES_MAX;

/// Which store is asked.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) store: Arc<str>,
    /// None: the store is global, every worker has it.
    pub(crate) task: Option<TaskId>,
}

/// What came of a question.
pub(crate) enum Reply {
    Answered(Answer),
    /// The task was here a moment ago.
    Gone,
    Failed(Error),
}

/// Why a question was not even put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// No worker here has the store.
    NotHere,
    /// So many wait already.
    Full,
}

struct Asked {
    place: Place,
    question: Question,
    reply: oneshot::Sender<Reply>,
}

/// Where callers find the workers that have what they ask for.
#[derive(Default)]
pub(crate) struct Desk(Mutex<Vec<Seat>>);

/// One worker.
struct Seat {
    wake: Arc<Wake>,
    /// Its tasks whose stores are restored.
    tasks: BTreeSet<TaskId>,
    /// Whether its global stores are filled.
    has_globals: bool,
    waiting: VecDeque<Asked>,
    ended: bool,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next worker.
    pub(crate) fn add_worker(&self, wake: Arc<Wake>) {
        self.lock().push(Seat {
            wake,
            tasks: BTreeSet::new(),
            has_globals: false,
            waiting: VecDeque::new(),
            ended: false,
        });
    }

    /// Says which tasks a worker has from now on.
    pub(crate) fn set_tasks(&self, worker: usize, tasks: BTreeSet<TaskId>) {
        self.lock()[worker].tasks = tasks;
    }

    /// Says that a worker's global stores are filled.
    pub(crate) fn set_globals(&self, worker: usize) {
        self.lock()[worker].has_globals = true;
    }

    /// The worker has ended: nobody answers what waits for it.
    pub(crate) fn end(&self, worker: usize) {
        self.vacate(worker);
        self.lock()[worker].ended = true;
    }

    /// As [`end`](Self::end), until a new worker in its place has stores.
    pub(crate) fn vacate(&self, worker: usize) {
        let seat = &mut self.lock()[worker];
        seat.tasks.clear();
        seat.has_globals = false;
        seat.waiting.clear();
    }

    /// The tasks of a sub-topology that are here, by partition.
    pub(crate) fn partitions(&self, sub_topology: u32) -> Vec<i32> {
        let seats = self.lock();
        let tasks = seats.iter().flat_map(|seat| &seat.tasks);
        let of_it = tasks.filter(|task| task.sub_topology == sub_topology);
        let partitions: BTreeSet<i32> = of_it.map(|task| task.partition).collect();
        partitions.into_iter().collect()
    }

    /// Puts a question to the worker that has the store; of several to the one with the shortest
    /// queue.
    pub(crate) fn ask(
        &self,
        place: Place,
        question: Question,
    ) -> Result<oneshot::Receiver<Reply>, Unasked> {
        let mut seats = self.lock();
        let has = |seat: &&mut Seat| match place.task {
            Some(task) => seat.tasks.contains(&task),
            None => seat.has_globals,
        };
        let able = seats.iter_mut().filter(|seat| !seat.ended).filter(has);
        let seat = able.min_by_key(|seat| seat.waiting.len());
        let seat = seat.ok_or(Unasked::NotHere)?;
        if seat.waiting.len() >= WAITING_MAX {
            return Err(Unasked::Full);
        }
        let (reply, answered) = oneshot::channel();
        seat.waiting.push_back(Asked {
            place,
            question,
            reply,
        });
        seat.wake.ring();
        Ok(answered)
    }

    fn next(&self, worker: usize) -> Option<Asked> {
        self.lock()[worker].waiting.pop_front()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seats = self.lock();
        let waiting = seats.iter().map(|seat| seat.waiting.len());
        f.debug_list().entries(waiting).finish()
    }
}

impl<C: Cluster> Worker<C> {
    /// Answers what waits, up to a limit; answers whether that was reached.
    pub(super) fn answer_questions(&self) -> bool {
        let (desk, number) = (&self.settings.shared.desk, self.settings.number);
        let mut entries = 0;
        while entries < TURN_ENTRIES_MAX {
            let Some(asked) = desk.next(number) else {
                return false;
            };
            if asked.reply.is_closed() {
                continue; // nobody waits for it any more
            }
            let reply = self.reply(&asked.place, asked.question);
            entries += match &reply {
                Reply::Answered(answer) => answer.entries().max(1),
                Reply::Gone | Reply::Failed(_) => 1,
            };
            // Whoever asked may have given up meanwhile.
            drop(asked.reply.send(reply));
        }
        true
    }

    fn reply(&self, place: &Place, question: Question) -> Reply {
        let answered = match place.task {
            None => {
                let globals = self.globals.as_ref().map(|globals| globals.stores());
                let slot = globals.as_ref().and_then(|all| all.0.get(&place.store));
                slot.map(|slot| question.ask(&slot.store))
            }
            Some(task) => {
                let mut running = self.tasks.iter().filter(|active| active.running);
                let active = running.find(|active| active.id() == task);
                let slot = active.and_then(|active| active.task.store(&place.store));
                slot.map(|slot| question.ask(&slot.store))
            }
        };
        match answered {
            Some(Ok(answer)) => Reply::Answered(answer),
            Some(Err(error)) => Reply::Failed(error),
            None => Reply::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        let task = TaskId {
            sub_topology: 0,
            partition,
        };
        Place {
            store: Arc::from("store"),
            task: Some(task),
        }
    }

    fn desk() -> Desk {
        let desk = Desk::default();
        for worker in 0..2 {
            desk.add_worker(Arc::new(Wake::default()));
            let tasks = place(i32::try_from(worker).unwrap()).task.into_iter();
            desk.set_tasks(worker, tasks.collect());
        }
        desk
    }

    #[test]
    fn a_question_goes_to_the_worker_that_has_the_task() {
        let desk = desk();
        let _reply = desk.ask(place(1), Question::Count).unwrap();
        assert!(desk.next(0).is_none());
        assert!(desk.next(1).is_some());
        let nobody = desk.ask(place(2), Question::Count).map(drop);
        assert_eq!(nobody, Err(Unasked::NotHere));
    }

    #[test]
    fn a_full_queue_refuses_more() {
        let desk = desk();
        let ask = || desk.ask(place(0), Question::Count);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask().unwrap()).collect();
        assert_eq!(ask().map(drop), Err(Unasked::Full));
        drop(desk.next(0));
        assert_eq!(ask().map(drop), Ok(()));
        drop(waiting);
    }

    #[test]
    fn a_worker_that_is_replaced_is_asked_again_once_the_new_one_has_the_task() {
        let desk = desk();
        let mut reply = desk.ask(place(0), Question::Count).unwrap();
        desk.vacate(0);
        assert!(reply.try_recv().is_err(), "whoever waits is told");
        let nobody = desk.ask(place(0), Question::Count).map(drop);
        assert_eq!(nobody, Err(Unasked::NotHere));
        desk.set_tasks(0, place(0).task.into_iter().collect());
        assert!(desk.ask(place(0), Question::Count).is_ok());
    }

    #[test]
    fn who_waits_for_a_worker_that_ends_is_told() {
        let desk = desk();
        let mut reply = desk.ask(place(0), Question::Count).unwrap();
        desk.end(0);
        assert_eq!(
            reply.try_recv().map(drop),
            Err(oneshot::error::TryRecvError::Closed)
        );
        let nobody = desk.ask(place(0), Question::Count).map(drop);
        assert_eq!(nobody, Err(Unasked::NotHere));
    }
}

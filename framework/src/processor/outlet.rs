//! Where rows wait for their batch to close: one outlet for each external sink of a task.
//!
//! ```text
//!   ExternalNode ──row──> Outlet [ kept | of the record in process ] ──commit──> session
//!                            ^ below the system's positions: left out
//! ```
//!
//! # Invariants
//!
//! - An outlet outlives the processors of its task: they are made anew after a failure, the session
//!   and the rows of the records before are not.
//! - Nothing reaches the session but whole batches.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::external::{
    Applied, AppliedPosition, ExternalBatch, ExternalFault, ExternalRow, ExternalSession,
    ExternalSink, ExternalTask,
};
use super::{Context, Processor};
use crate::error::{Error, ErrorKind, Fault};
use crate::record::{Position, Record, TaskId, TopicPartition};

/// The rows of one sink of one task, and its session.
struct Outlet<K, V, S: ExternalSink<K, V>> {
    sink: Arc<S>,
    open: Option<Open<S::Session>>,
    rows: Vec<ExternalRow<<S::Session as ExternalSession<K, V>>::Row>>,
    /// How many rows there were before the record in process.
    mark: usize,
}

struct Open<S> {
    session: S,
    applied: Applied,
}

impl<K, V, S: ExternalSink<K, V>> Outlet<K, V, S> {
    fn new(sink: Arc<S>) -> Self {
        Outlet {
            sink,
            open: None,
            rows: Vec::new(),
            mark: 0,
        }
    }

    fn write(&mut self, record: &Record<K, V>, position: Option<Position>) -> Result<(), Fault> {
        let Some(open) = &mut self.open else {
            let message = "an external sink is opened before the first record and closed after \
                           the last; processors forward nothing in init";
            return Err(Error::new(ErrorKind::External, message).into());
        };
        if let Applied::UpTo(applied) = &open.applied {
            let Some(position) = &position else {
                return Err(no_position());
            };
            if holds(applied, position) {
                return Ok(());
            }
        }
        let row = open.session.row(record)?;
        self.rows.push(ExternalRow { row, position });
        Ok(())
    }
}

fn holds(applied: &[AppliedPosition], position: &Position) -> bool {
    let mut of_partition = applied.iter();
    of_partition.any(|applied| {
        position.offset < applied.next && position.topic_partition == applied.topic_partition
    })
}

#[cold]
fn no_position() -> Fault {
    Fault::message(
        "a punctuation made a row, which comes from no record and so cannot be written exactly \
         once; write it from process, or to a sink that is at least once",
    )
}

/// An outlet, whatever its types.
pub(crate) trait AnyOutlet {
    fn open(&mut self, task: &ExternalTask) -> Result<(), ExternalFault>;
    /// Ends the session: the partitions are, or may be, somebody else's.
    fn close(&mut self);
    /// How far the system is, if it says.
    fn applied(&self) -> &[AppliedPosition];
    fn rows(&self) -> usize;
    fn position_of(&self, row: usize) -> Option<Position>;
    fn commit(
        &mut self,
        positions: &[AppliedPosition],
        within: Duration,
    ) -> Result<(), ExternalFault>;
    /// Notes where the rows of the next record begin.
    fn hold(&mut self);
    /// Takes the rows back that were written since.
    fn undo(&mut self);
    /// Takes all rows of the batch back.
    fn discard(&mut self);
}

impl<K: 'static, V: 'static, S: ExternalSink<K, V>> AnyOutlet for Outlet<K, V, S> {
    fn open(&mut self, task: &ExternalTask) -> Result<(), ExternalFault> {
        let (session, applied) = self.sink.open(task)?;
        self.open = Some(Open { session, applied });
        Ok(())
    }

    fn close(&mut self) {
        self.open = None;
    }

    fn applied(&self) -> &[AppliedPosition] {
        match self.open.as_ref().map(|open| &open.applied) {
            Some(Applied::UpTo(applied)) => applied,
            Some(Applied::Unknown) | None => &[],
        }
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn position_of(&self, row: usize) -> Option<Position> {
        self.rows.get(row)?.position.clone()
    }

    fn commit(
        &mut self,
        positions: &[AppliedPosition],
        within: Duration,
    ) -> Result<(), ExternalFault> {
        let (Some(open), false) = (&mut self.open, self.rows.is_empty()) else {
            return Ok(());
        };
        let rows = &self.rows;
        let batch = ExternalBatch { rows, positions };
        if let Err(fault) = open.session.commit(&batch, within) {
            if let ExternalFault::Ahead(positions) = &fault {
                open.applied = Applied::UpTo(positions.clone());
            }
            return Err(fault);
        }
        if let Applied::UpTo(applied) = &mut open.applied {
            // Until Kafka has committed too, a replay is to leave these rows out.
            *applied = positions.to_vec();
        }
        self.discard();
        Ok(())
    }

    fn hold(&mut self) {
        self.mark = self.rows.len();
    }

    fn undo(&mut self) {
        self.rows.truncate(self.mark);
    }

    fn discard(&mut self) {
        self.rows.clear();
        self.mark = 0;
    }
}

/// An outlet and the name of its sink.
type NamedOutlet = (Arc<str>, Rc<RefCell<dyn AnyOutlet>>);

/// An outlet as the task holds it, and as its node asks for it.
struct Slot {
    any: Rc<RefCell<dyn AnyOutlet>>,
    typed: Rc<dyn Any>,
}

/// The outlets of a task, by the name of the sink.
#[derive(Default)]
pub(crate) struct Outlets(RefCell<BTreeMap<Arc<str>, Slot>>);

impl Outlets {
    /// Whether nothing of the task goes to an external system.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The sink's outlet, made when it is asked for first.
    fn of<K: 'static, V: 'static, S: ExternalSink<K, V>>(
        &self,
        name: &str,
        sink: &Arc<S>,
    ) -> Rc<RefCell<Outlet<K, V, S>>> {
        let mut slots = self.0.borrow_mut();
        let slot = slots.entry(Arc::from(name)).or_insert_with(|| {
            let outlet = Rc::new(RefCell::new(Outlet::new(Arc::clone(sink))));
            Slot {
                any: Rc::clone(&outlet) as _,
                typed: outlet,
            }
        });
        let typed = Rc::clone(&slot.typed).downcast();
        typed.expect("the names of nodes are their own")
    }

    pub(crate) fn all(&self) -> Vec<NamedOutlet> {
        let slots = self.0.borrow();
        let all = slots.iter();
        all.map(|(name, slot)| (Arc::clone(name), Rc::clone(&slot.any)))
            .collect()
    }

    pub(crate) fn each(&self, mut call: impl FnMut(&mut dyn AnyOutlet)) {
        for slot in self.0.borrow().values() {
            call(&mut *slot.any.borrow_mut());
        }
    }

    pub(crate) fn rows(&self) -> usize {
        let slots = self.0.borrow();
        slots.values().map(|slot| slot.any.borrow().rows()).sum()
    }

    pub(crate) fn open(
        &self,
        application_id: &Arc<str>,
        task: TaskId,
        inputs: &[TopicPartition],
    ) -> Result<(), Error> {
        for (sink, outlet) in self.all() {
            let task = ExternalTask {
                application_id: Arc::clone(application_id),
                sink: Arc::clone(&sink),
                task,
                inputs: inputs.to_vec(),
            };
            let opened = outlet.borrow_mut().open(&task);
            opened.map_err(|fault| cannot_open(fault, &task))?;
        }
        Ok(())
    }
}

fn cannot_open(fault: ExternalFault, task: &ExternalTask) -> Error {
    let message = format!("an external sink cannot be opened for task {}", task.task);
    let error = Error::new(ErrorKind::External, message).at_node(&task.sink);
    match fault {
        ExternalFault::Unreachable(cause)
        | ExternalFault::Fenced(cause)
        | ExternalFault::RefusedBatch(cause)
        | ExternalFault::Failed(cause) => error.because(cause),
        ExternalFault::Refused(_) | ExternalFault::Ahead(_) => {
            error.because("it answered for rows that it was not given")
        }
    }
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.borrow().keys()).finish()
    }
}

/// The node of an external sink.
pub(crate) struct ExternalNode<K, V, S: ExternalSink<K, V>> {
    sink: Arc<S>,
    outlet: Option<Rc<RefCell<Outlet<K, V, S>>>>,
}

impl<K, V, S: ExternalSink<K, V>> ExternalNode<K, V, S> {
    pub(crate) fn new(sink: Arc<S>) -> Self {
        ExternalNode { sink, outlet: None }
    }
}

impl<K: 'static, V: 'static, S: ExternalSink<K, V>> Processor for ExternalNode<K, V, S> {
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = ();
    type ValueOut = ();

    fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
        self.outlet = Some(ctx.scope().outlets.of(ctx.node(), &self.sink));
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
        let outlet = self.outlet.as_ref().expect("init ran");
        outlet.borrow_mut().write(&record, ctx.position())
    }
}

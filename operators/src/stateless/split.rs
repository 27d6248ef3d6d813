//! Splits a stream into branches by predicates: the first that accepts a record gets it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::processor::Context;

use crate::Data;
use crate::names::Named;
use crate::stream::{Changes, KStream, Step};

/// The name of a branch, and what it accepts; the default branch accepts everything.
type Branch<K, V> = (Arc<str>, Accepts<K, V>);

/// A branch's predicate; branches of one split differ in type.
type Accepts<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// A stream that is being split: see [`KStream::split`].
pub struct BranchedKStream<K, V> {
    splitter: KStream<K, V>,
    branches: Rc<RefCell<Vec<Branch<K, V>>>>,
    next_name: Option<Arc<str>>,
    /// Whether it has a default branch.
    closed: bool,
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Splits the stream: each record goes to the first branch whose predicate accepts it, else
    /// to the default branch, else nowhere.
    ///
    /// A branch is named after the split and its own name, or its number from 1; the default
    /// branch has number 0. Where Java answers a map of branches, each call here answers one.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// let mut by_size = orders.named("size-").split();
    /// let small = by_size.named("small").branch(|_, amount| *amount < 10);
    /// let medium = by_size.branch(|_, amount| *amount < 100);
    /// let rest = by_size.default_branch();
    /// assert_eq!([small.name(), medium.name(), rest.name()], ["size-small", "size-2", "size-0"]);
    /// small.to("small", Produced::new());
    /// rest.to("rest", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("orders", utf8(), i64());
    /// for amount in [5, 50, 500] {
    ///     input.pipe("k", amount, Timestamp::from_millis(0))?;
    /// }
    /// let rest = driver.output_topic("rest", utf8(), i64()).read_all()?;
    /// assert_eq!(rest.iter().map(|r| r.value).collect::<Vec<_>>(), [500]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use = "a split without branches drops every record"]
    pub fn split(&self) -> BranchedKStream<K, V> {
        let name = self.graph.name(self.next_name(), "KSTREAM-BRANCH-");
        let branches: Rc<RefCell<Vec<Branch<K, V>>>> = Rc::default();
        let (output, added) = (Arc::clone(&name), Rc::clone(&branches));
        let node = self
            .graph
            .add(Arc::clone(&name), &[self.node], move |lowering| {
                let branches = added.take();
                let route = move |record: Record<K, V>, ctx: &mut Context<K, V>| {
                    let accepts =
                        |(_, accepts): &&Branch<K, V>| accepts(&record.key, &record.value);
                    match branches.iter().find(accepts) {
                        Some((branch, _)) => ctx.forward_to(branch, record),
                        None => Ok(()),
                    }
                };
                lowering.processor(&output, Step::supplier(route));
            });
        BranchedKStream {
            splitter: KStream::new(self.graph.clone(), node, name, self.rekeyed),
            branches,
            next_name: None,
            closed: false,
        }
    }
}

impl<K: Data, V: Data> BranchedKStream<K, V> {
    /// Names the branch that follows, within the name of the split (`Branched.as` in Java).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let mut split = orders.named("size-").split();
    /// assert_eq!(split.named("large").branch(|_, cents| *cents > 100).name(), "size-large");
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn named(&mut self, name: impl Into<Named>) -> &mut Self {
        self.next_name = Some(name.into().into_name());
        self
    }

    /// Adds a branch: the records that `predicate` accepts and no branch before it does.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let mut split = orders.split();
    /// split.branch(|_, cents| *cents > 100).to("large", Produced::new());
    /// split.branch(|_, cents| *cents > 10).to("medium", Produced::new()); // the others go nowhere
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// for cents in [500, 50, 5] {
    ///     orders.pipe("ada", cents, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output_topic("large", utf8(), i64()).read_all()?.len(), 1);
    /// assert_eq!(driver.output_topic("medium", utf8(), i64()).read_all()?.len(), 1);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn branch(
        &mut self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let number = self.branches.borrow().len() + 1;
        self.add(number, Arc::new(predicate))
    }

    /// Adds the branch of all other records, and closes the split: a branch after it is reported
    /// when the topology is built.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let mut split = orders.split();
    /// let _large = split.branch(|_, cents| *cents > 100);
    /// split.default_branch().to("small", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let orders = driver.input_topic("orders", utf8(), i64());
    /// for cents in [500, 50, 5] {
    ///     orders.pipe("ada", cents, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output_topic("small", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn default_branch(&mut self) -> KStream<K, V> {
        self.add(0, Arc::new(|_, _| true))
    }

    fn add(&mut self, number: usize, accepts: Accepts<K, V>) -> KStream<K, V> {
        if self.closed {
            let split = self.splitter.name();
            let problem = format!("split {split} has a branch after its default branch");
            self.splitter.graph.problem(problem);
        }
        self.closed = number == 0;
        let own = self.next_name.take();
        let own = own.unwrap_or_else(|| Arc::from(number.to_string()));
        let name = format!("{}{own}", self.splitter.name);
        self.branches
            .borrow_mut()
            .push((Arc::from(&*name), accepts));
        let pass = |record: Record<K, V>, ctx: &mut Context<K, V>| ctx.forward(record);
        self.splitter
            .named(name)
            .step("KSTREAM-BRANCH-", Changes::Nothing, pass)
    }
}

impl<K, V> fmt::Debug for BranchedKStream<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BranchedKStream({:?})", self.splitter)
    }
}

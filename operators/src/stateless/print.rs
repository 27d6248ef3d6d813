//! Ends a stream in lines of text, for a person to look at.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use onceflow_framework::processor::Context;
use onceflow_framework::{Fault, Record};

use crate::Data;
use crate::stream::{Changes, KStream};

/// Where and how [`KStream::print`] writes records: Kafka Streams' `Printed`.
pub struct Printed<K, V> {
    to: Target,
    label: Option<String>,
    line: Line<K, V>,
}

/// What becomes of a record as text.
type Line<K, V> = Box<dyn Fn(&K, &V) -> String + Send + Sync>;

/// Shared by the tasks of all workers: a line is written as a whole.
enum Target {
    Stdout,
    File(PathBuf, Mutex<Option<File>>),
}

impl<K: fmt::Debug, V: fmt::Debug> Printed<K, V> {
    /// To the standard output, as `{key:?}, {value:?}`.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.print(Printed::to_stdout());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(driver.dropped_total(), 0); // it was printed
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub fn to_stdout() -> Self {
        Printed::to(Target::Stdout)
    }

    /// To a file, which is made anew before the first record, as `{key:?}, {value:?}`.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let file = std::env::temp_dir().join(format!("onceflow-to-file-{}", std::process::id()));
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.print(Printed::to_file(&file));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(std::fs::read_to_string(&file)?, "[KSTREAM-SOURCE-0000000000]: \"ada\", 30\n");
    /// # std::fs::remove_file(&file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn to_file(path: impl Into<PathBuf>) -> Self {
        Printed::to(Target::File(path.into(), Mutex::new(None)))
    }

    fn to(to: Target) -> Self {
        Printed {
            to,
            label: None,
            line: Box::new(|key, value| format!("{key:?}, {value:?}")),
        }
    }
}

impl<K, V> Printed<K, V> {
    /// What stands before each line in brackets; by default the name of the node before.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let file = std::env::temp_dir().join(format!("onceflow-with-label-{}", std::process::id()));
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.print(Printed::to_file(&file).with_label("orders"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(std::fs::read_to_string(&file)?, "[orders]: \"ada\", 30\n");
    /// # std::fs::remove_file(&file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Another text for a record.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let file = std::env::temp_dir().join(format!("onceflow-with-line-{}", std::process::id()));
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let line = |who: &String, cents: &i64| format!("{who} owes {cents}");
    /// orders.print(Printed::to_file(&file).with_line(line));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(0))?;
    /// assert_eq!(std::fs::read_to_string(&file)?, "[KSTREAM-SOURCE-0000000000]: ada owes 30\n");
    /// # std::fs::remove_file(&file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_line(mut self, line: impl Fn(&K, &V) -> String + Send + Sync + 'static) -> Self {
        self.line = Box::new(line);
        self
    }
}

impl<K, V> fmt::Debug for Printed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match &self.to {
            Target::Stdout => "stdout".to_owned(),
            Target::File(path, _) => path.display().to_string(),
        };
        write!(f, "Printed({to})")
    }
}

impl Target {
    fn write(&self, line: &str) -> Result<(), Fault> {
        let written = match self {
            Target::Stdout => io::stdout().write_all(line.as_bytes()),
            Target::File(path, file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let open = |file: &mut Option<File>| -> io::Result<()> {
                    if file.is_none() {
                        *file = Some(File::create(path)?);
                    }
                    file.as_mut()
                        .map_or(Ok(()), |file| file.write_all(line.as_bytes()))
                };
                open(&mut file).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })
            }
        };
        Ok(written?)
    }
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Writes each record as a line `[label]: key, value`, and ends the stream: for looking at what
    /// flows while a topology is written.
    ///
    /// A line is no part of the transaction: it is written again for a record whose batch is
    /// aborted and replayed. A line that cannot be written fails its record.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let file = std::env::temp_dir().join("printed-orders.txt");
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("orders", Consumed::<String, i64>::new())
    ///     .print(Printed::to_file(&file).with_label("orders"));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("a", 1, Timestamp::from_millis(0))?;
    /// assert_eq!(std::fs::read_to_string(&file)?, "[orders]: \"a\", 1\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn print(&self, printed: Printed<K, V>) {
        let label = printed.label.unwrap_or_else(|| self.name().to_owned());
        let (to, line) = (printed.to, printed.line);
        let act = move |record: Record<K, V>, _ctx: &mut Context<(), ()>| {
            to.write(&format!(
                "[{label}]: {}\n",
                line(&record.key, &record.value)
            ))
        };
        self.step("KSTREAM-PRINTER-", Changes::Nothing, act);
    }
}

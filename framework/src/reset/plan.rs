//! What a reset is going to do, for a person to read first.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{failed, local};
use crate::broker::Wake;
use crate::broker::kafka::GroupAdmin;
use crate::error::{Error, ErrorKind};
use crate::record::{Offset, TopicPartition};
use crate::time::{Clock, SystemClock};

/// Between two looks whether members have gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// One input partition, before and after a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReset {
    /// Which partition.
    pub partition: TopicPartition,
    /// What is committed now.
    pub committed: Option<Offset>,
    /// The offsets of the records that it holds, and after them its end.
    pub kept: Range<Offset>,
    /// Where the application begins to read it.
    pub start: Offset,
}

/// What a [`Reset`](super::Reset) is going to do. Printed, it is a table.
#[must_use = "a plan changes nothing before it is executed"]
pub struct ResetPlan {
    pub(super) application_id: String,
    pub(super) group: GroupAdmin,
    pub(super) members: Vec<String>,
    pub(super) patience: Duration,
    pub(super) partitions: Vec<PartitionReset>,
    pub(super) topics: Vec<String>,
    pub(super) spared: Vec<(String, String)>,
    pub(super) directory: PathBuf,
    pub(super) paths: Vec<PathBuf>,
}

impl ResetPlan {
    /// The input partitions.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionReset] {
        &self.partitions
    }

    /// The internal topics that are deleted.
    #[must_use]
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The local state that is deleted.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Who was a member of the application's group when it was planned.
    #[must_use]
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the application runs: nothing was changed then. Any other error
    /// may leave a part of it done: make another plan and execute it before the application runs.
    pub fn execute(self) -> Result<(), Error> {
        self.await_stopped()?;
        // First of all: refused while the group has members, when nothing is destroyed yet.
        self.group.delete_group().map_err(failed)?;
        self.group.delete_topics(&self.topics).map_err(failed)?;
        local::delete(&self.paths)?;
        let starts = self.partitions.iter();
        let starts = starts.map(|reset| (reset.partition.clone(), reset.start));
        let starts: Vec<_> = starts.collect();
        if starts.is_empty() {
            return Ok(());
        }
        self.group.commit(&starts).map_err(failed)
    }

    fn await_stopped(&self) -> Result<(), Error> {
        let clock = SystemClock::new();
        let (began, pause) = (clock.now(), Wake::default());
        while let Some(runs) = self.running()? {
            if clock.now().since(began) >= self.patience {
                return Err(Error::new(ErrorKind::Config, runs));
            }
            pause.sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// What says that the application runs, and what to do about it.
    fn running(&self) -> Result<Option<String>, Error> {
        let (application, members) = (&self.application_id, self.group.members().map_err(failed)?);
        if !members.is_empty() {
            let members = members.join(", ");
            return Ok(Some(format!(
                "application {application} has members: {members}; stop them first. One that was \
                 killed is a member until its session has timed out"
            )));
        }
        let held = local::in_use(&self.directory)?;
        Ok(held.map(|name| {
            let name = name.display();
            format!(
                "a process of application {application} runs here and holds {name}; stop it first"
            )
        }))
    }
}

impl fmt::Debug for ResetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResetPlan")
            .field("application_id", &self.application_id)
            .field("members", &self.members)
            .field("partitions", &self.partitions)
            .field("topics", &self.topics)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ResetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "application {}", self.application_id)?;
        for member in &self.members {
            writeln!(f, "  member   {member}")?;
        }
        for path in self.paths.iter().map(|path| Path::display(path)) {
            writeln!(f, "  delete   state {path}")?;
        }
        for topic in &self.topics {
            writeln!(f, "  delete   topic {topic}")?;
        }
        for (topic, group) in &self.spared {
            writeln!(f, "  keep     topic {topic}, of group {group}")?;
        }
        if !self.partitions.is_empty() {
            writeln!(f, "  offsets")?;
        }
        table(f, &self.partitions)
    }
}

fn table(f: &mut fmt::Formatter<'_>, partitions: &[PartitionReset]) -> fmt::Result {
    let head = ["partition", "committed", "records", "begins at"].map(str::to_owned);
    let rows = partitions.iter().map(|reset| {
        let committed = reset.committed.map(|offset| offset.to_string());
        [
            reset.partition.to_string(),
            committed.unwrap_or_else(|| "-".to_owned()),
            format!("{} to {}", reset.kept.start, reset.kept.end),
            reset.start.to_string(),
        ]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    if rows.len() == 1 {
        return Ok(());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max();
    let [name, committed, kept, start] = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
    for [partition, was, records, begins] in &rows {
        writeln!(
            f,
            "    {partition:<name$}   {was:>committed$}   {records:>kept$}   {begins:>start$}"
        )?;
    }
    Ok(())
}

//! Positions in the database, and the epoch under which they may be moved.
//!
//! ```text
//!   claim    every row's epoch + 1, and where it stands
//!   advance  where epoch = mine: touches every row, or somebody else has claimed one
//!   look     the same question, for a session that was not answered
//! ```
//!
//! # Invariants
//!
//! - Claims, looks and advances lock the rows until their transaction ends: what was sent before is
//!   decided when they answer.
//! - A partition is known by application, sink and name, not by its task: tasks are numbered anew
//!   when a topology changes.

use onceflow_framework::processor::external::{AppliedPosition, ExternalTask};
use onceflow_framework::{Offset, TopicPartition};
use tokio_postgres::Client;
use tokio_postgres::Row;

use crate::failure::Failure;

/// A statement for each, because others may make the table at the same time.
const CREATE: &str = "\
    BEGIN;
    SELECT pg_advisory_xact_lock(7017280452245743464);
    CREATE TABLE IF NOT EXISTS onceflow_positions (
        application text NOT NULL,
        sink text NOT NULL,
        topic text NOT NULL,
        partition int4 NOT NULL,
        task text NOT NULL,
        next_offset int8 NOT NULL,
        given_up int8[] NOT NULL,
        epoch int8 NOT NULL,
        PRIMARY KEY (application, sink, topic, partition)
    );
    COMMIT";

const CLAIM: &str = "\
    INSERT INTO onceflow_positions AS p
        (application, sink, topic, partition, task, next_offset, given_up, epoch)
    SELECT $1, $2, n.topic, n.partition, $3, 0, '{}', 1
        FROM unnest($4::text[], $5::int4[]) AS n(topic, partition)
        ORDER BY n.topic, n.partition
    ON CONFLICT (application, sink, topic, partition)
        DO UPDATE SET epoch = p.epoch + 1, task = EXCLUDED.task
    RETURNING p.topic, p.partition, p.next_offset, p.given_up, p.epoch";

const LOOK: &str = "\
    SELECT topic, partition, next_offset, given_up, epoch FROM onceflow_positions
    WHERE application = $1 AND sink = $2
        AND (topic, partition) IN (SELECT * FROM unnest($3::text[], $4::int4[]))
    ORDER BY topic, partition
    FOR UPDATE";

const ADVANCE: &str = "\
    UPDATE onceflow_positions AS p SET next_offset = n.next_offset, given_up = n.given_up::int8[]
    FROM unnest($3::text[], $4::int4[], $5::int8[], $6::text[], $7::int8[])
        AS n(topic, partition, next_offset, given_up, epoch)
    WHERE p.application = $1 AND p.sink = $2
        AND p.topic = n.topic AND p.partition = n.partition AND p.epoch = n.epoch";

/// The claim of one task.
#[derive(Debug)]
pub(crate) struct Claim {
    application: String,
    sink: String,
    /// In the order of topic and partition.
    partitions: Vec<Claimed>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Claimed {
    applied: AppliedPosition,
    epoch: i64,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The positions are as they were.
    Unmoved,
    /// They are where this batch ends: it was committed.
    Batch,
    /// They are elsewhere, under the same epoch: an earlier batch was committed.
    Ahead(Vec<AppliedPosition>),
    /// Somebody else has claimed them.
    Fenced,
}

impl Claim {
    /// Makes the table, if it is not there.
    pub(crate) async fn prepare(client: &Client) -> Result<(), Failure> {
        let found = "SELECT to_regclass('onceflow_positions') IS NOT NULL";
        let is_there: bool = client.query_one(found, &[]).await?.get(0);
        if !is_there {
            client.batch_execute(CREATE).await?;
        }
        Ok(())
    }

    /// Claims the inputs of a task.
    pub(crate) async fn take(client: &Client, task: &ExternalTask) -> Result<Self, Failure> {
        let (application, sink) = (task.application_id.to_string(), task.sink.to_string());
        let topics: Vec<&str> = task.inputs.iter().map(|input| &*input.topic).collect();
        let partitions: Vec<i32> = task.inputs.iter().map(|input| input.partition).collect();
        let id = task.task.to_string();
        let rows = client
            .query(CLAIM, &[&application, &sink, &id, &topics, &partitions])
            .await?;
        Ok(Claim {
            application,
            sink,
            partitions: claimed(&rows),
        })
    }

    pub(crate) fn applied(&self) -> Vec<AppliedPosition> {
        let applied = self.partitions.iter();
        applied.map(|claimed| claimed.applied.clone()).collect()
    }

    /// Moves the positions, in the open transaction; answers whether they are still its own.
    pub(crate) async fn advance(
        &self,
        client: &Client,
        ends: &[AppliedPosition],
    ) -> Result<bool, Failure> {
        let topics: Vec<&str> = ends.iter().map(|e| &*e.topic_partition.topic).collect();
        let partitions: Vec<i32> = ends.iter().map(|e| e.topic_partition.partition).collect();
        let next: Vec<i64> = ends.iter().map(|end| end.next.get()).collect();
        let given_up: Vec<String> = ends.iter().map(array).collect();
        let epochs: Vec<i64> = ends.iter().map(|end| self.epoch(end)).collect();
        let moved = client
            .execute(
                ADVANCE,
                &[
                    &self.application,
                    &self.sink,
                    &topics,
                    &partitions,
                    &next,
                    &given_up,
                    &epochs,
                ],
            )
            .await?;
        Ok(usize::try_from(moved).is_ok_and(|moved| moved == ends.len()))
    }

    /// None is never claimed: a partition that is not among those claimed moves nothing.
    fn epoch(&self, end: &AppliedPosition) -> i64 {
        let mut claimed = self.partitions.iter();
        let claimed = claimed.find(|c| c.applied.topic_partition == end.topic_partition);
        claimed.map_or(0, |claimed| claimed.epoch)
    }

    /// The batch was committed.
    pub(crate) fn moved(&mut self, ends: &[AppliedPosition]) {
        for claimed in &mut self.partitions {
            let mut ends = ends.iter();
            let end = ends.find(|end| end.topic_partition == claimed.applied.topic_partition);
            if let Some(end) = end {
                claimed.applied = end.clone();
            }
        }
    }

    /// Finds out where the positions are, in the open transaction.
    pub(crate) async fn look(
        &mut self,
        client: &Client,
        ends: &[AppliedPosition],
    ) -> Result<Found, Failure> {
        let own = || self.partitions.iter().map(|c| &c.applied.topic_partition);
        let topics: Vec<&str> = own().map(|own| &*own.topic).collect();
        let partitions: Vec<i32> = own().map(|own| own.partition).collect();
        let rows = client
            .query(LOOK, &[&self.application, &self.sink, &topics, &partitions])
            .await?;
        Ok(self.compare(claimed(&rows), ends))
    }

    fn compare(&mut self, found: Vec<Claimed>, ends: &[AppliedPosition]) -> Found {
        let epochs = |claimed: &[Claimed]| claimed.iter().map(|c| c.epoch).collect::<Vec<_>>();
        if epochs(&found) != epochs(&self.partitions) {
            return Found::Fenced;
        }
        if found == self.partitions {
            return Found::Unmoved;
        }
        self.partitions = found;
        let is_end = |claimed: &Claimed| ends.contains(&claimed.applied);
        match self.partitions.iter().all(is_end) {
            true => Found::Batch,
            false => Found::Ahead(self.applied()),
        }
    }
}

fn claimed(rows: &[Row]) -> Vec<Claimed> {
    let rows = rows.iter().map(|row| {
        let given_up: Vec<i64> = row.get(3);
        Claimed {
            applied: AppliedPosition {
                topic_partition: TopicPartition::new(row.get::<_, &str>(0), row.get(1)),
                next: Offset::new(row.get(2)),
                given_up: given_up.into_iter().map(Offset::new).collect(),
            },
            epoch: row.get(4),
        }
    });
    let mut claimed: Vec<Claimed> = rows.collect();
    claimed.sort_by(|a, b| a.applied.topic_partition.cmp(&b.applied.topic_partition));
    claimed
}

/// The text of an array: arrays of arrays cannot be unnested row by row.
fn array(end: &AppliedPosition) -> String {
    let offsets = end.given_up.iter().map(|offset| offset.get().to_string());
    format!("{{{}}}", offsets.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: i64) -> AppliedPosition {
        AppliedPosition {
            topic_partition: TopicPartition::new("in", 0),
            next: Offset::new(next),
            given_up: Vec::new(),
        }
    }

    fn claimed(next: i64, epoch: i64) -> Vec<Claimed> {
        let applied = at(next);
        vec![Claimed { applied, epoch }]
    }

    fn check(found: Vec<Claimed>, expected: &Found) {
        let mut claim = Claim {
            application: "app".to_owned(),
            sink: "sink".to_owned(),
            partitions: claimed(10, 3),
        };
        assert_eq!(claim.compare(found, &[at(20)]), *expected);
    }

    #[test]
    fn positions_that_have_not_moved_were_not_committed() {
        check(claimed(10, 3), &Found::Unmoved);
    }

    #[test]
    fn positions_at_the_end_of_the_batch_are_those_of_the_batch() {
        check(claimed(20, 3), &Found::Batch);
    }

    #[test]
    fn positions_elsewhere_are_those_of_an_earlier_attempt() {
        check(claimed(15, 3), &Found::Ahead(vec![at(15)]));
    }

    #[test]
    fn another_epoch_is_another_owner_wherever_it_is() {
        check(claimed(20, 4), &Found::Fenced);
        check(claimed(10, 4), &Found::Fenced);
        check(Vec::new(), &Found::Fenced);
    }
}

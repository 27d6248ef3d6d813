//! Finds the rows for which a batch is refused, by halves.
//!
//! ```text
//!   [ . . . x . . . . ]  refused ──> [ . . . x ]  refused ──> ... [ x ]  refused: this one
//!                                └─> [ . . . . ]  taken, and stays for those that follow it
//! ```
//!
//! # Invariants
//!
//! - Rows are tried in their order, on top of those that were taken: of two rows that exclude each
//!   other it is the second that is refused.
//! - Nothing of it stays: the transaction of the search is rolled back.

use std::ops::Range;

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::failure::{Failure, Meaning};
use crate::session::{Rows, write};
use crate::target::{CLEAR, Target};

/// So many are looked for at once; the replay without them finds more.
const REFUSED_MAX: usize = 100;

/// Finds rows that are refused, at least one if there is any: by their index, with the reason.
pub(crate) async fn find(
    client: &Client,
    target: &Target,
    rows: &Rows,
    deadline: Instant,
) -> Result<Vec<(usize, Failure)>, Failure> {
    let until = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
    client
        .batch_execute("BEGIN; SET CONSTRAINTS ALL IMMEDIATE")
        .await?;
    let mut refused = Vec::new();
    // The next part is on top; the whole batch is known to be refused.
    let mut parts: Vec<Range<usize>> = halves(&(0..rows.len()));
    while let Some(part) = parts.pop() {
        let enough = refused.len() >= REFUSED_MAX || Instant::now() >= until;
        if enough && !refused.is_empty() {
            break;
        }
        if let Err(failure) = attempt(client, target, &rows[part.clone()]).await {
            if failure.meaning != Meaning::Data {
                return Err(failure);
            }
            match part.len() {
                1 => refused.push((part.start, failure)),
                _ => parts.extend(halves(&part)),
            }
        }
    }
    client.batch_execute("ROLLBACK").await?;
    Ok(refused)
}

/// Both halves, the first one last.
fn halves(part: &Range<usize>) -> Vec<Range<usize>> {
    let middle = part.start + part.len() / 2;
    let halves = [middle..part.end, part.start..middle];
    halves.into_iter().filter(|half| !half.is_empty()).collect()
}

async fn attempt(client: &Client, target: &Target, rows: &Rows) -> Result<(), Failure> {
    client
        .batch_execute(&format!("SAVEPOINT onceflow_part; {CLEAR}"))
        .await?;
    match write(client, target, rows).await {
        Ok(()) => client.batch_execute("RELEASE onceflow_part").await?,
        Err(failure) => {
            let back = "ROLLBACK TO onceflow_part; RELEASE onceflow_part";
            client.batch_execute(back).await?;
            return Err(failure);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_cover_a_part_in_order_and_one_row_is_a_part() {
        assert_eq!(halves(&(0..5)), [2..5, 0..2]);
        assert_eq!(halves(&(3..5)), [4..5, 3..4]);
        assert_eq!(halves(&(0..1)).len(), 1);
    }
}

//! Visits are made, and the service is asked for their counts all the while.

use std::collections::BTreeMap;
use std::time::Duration;

use onceflow_examples::Result;
use onceflow_examples::clock::Stopwatch;
use onceflow_examples::cluster::Cluster;
use onceflow_examples::progress::Progress;
use onceflow_examples::random::Random;
use onceflow_examples::shutdown::Interrupt;
use onceflow_examples::writer::Writer;

use crate::client::Client;
use crate::heard::Heard;
use crate::routes::Visits;

/// The pages; the first are visited most.
const PAGES: [&str; 8] = [
    "home", "docs", "news", "shop", "blog", "help", "jobs", "about",
];

/// Visits that are made between two questions.
const VISITS_A_QUESTION: usize = 500;

/// A run in which no visit was counted for so long is given up.
const STALL: Duration = Duration::from_secs(60);

/// The pages that will be visited, in this order.
pub(crate) fn made(random: &mut Random, visits: u64) -> Vec<&'static str> {
    let mut page = || {
        let among = 1 + random.below(PAGES.len() as u64);
        usize::try_from(random.below(among)).map_or(PAGES[0], |page| PAGES[page])
    };
    (0..visits).map(|_| page()).collect()
}

/// Makes the visits, and asks how often each page was visited until the service has counted all.
pub(crate) fn make_and_ask(
    cluster: &Cluster,
    topic: &str,
    made: &[&'static str],
    client: &Client,
    interrupt: &Interrupt,
) -> Result<Heard> {
    let writer = Writer::open(cluster)?;
    let mut written: BTreeMap<&str, i64> = BTreeMap::new();
    let mut progress = Progress::start(made.len() as u64, false);
    let (mut heard, mut left) = (Heard::default(), made.iter());
    let (mut counted, mut last) = (0, Stopwatch::start());
    while counted < made.len() as u64 {
        interrupt.check()?;
        for page in left.by_ref().take(VISITS_A_QUESTION) {
            while !writer.send(topic, page, b"")? {
                interrupt.check()?;
            }
            *written.entry(page).or_default() += 1;
        }
        for page in PAGES {
            let written = written.get(page).copied().unwrap_or(0);
            ask(&mut heard, client, page, written)?;
        }
        let total: i64 = heard.last.values().sum();
        let total = total.unsigned_abs();
        if total > counted {
            (counted, last) = (total, Stopwatch::start());
        }
        progress.show(counted, || format!("{} answers", heard.answers));
        if last.elapsed() > STALL {
            return Err("for a minute no visit was counted".into());
        }
    }
    progress.end();
    writer.finish()?;
    Ok(heard)
}

/// Asks for the count of a page that was visited so often by now.
fn ask(heard: &mut Heard, client: &Client, page: &str, written: i64) -> Result<()> {
    let answer = client.get(&format!("/visits/{page}"))?;
    let visits = match answer.status {
        200 => serde_json::from_str::<Visits>(&answer.body)?.visits,
        // Nobody has visited it yet.
        404 => 0,
        // A rebalance: the next question may be answered.
        503 => return Ok(()),
        other => return Err(format!("{other} for {page}: {}", answer.body).into()),
    };
    heard.note(page, visits, written);
    Ok(())
}

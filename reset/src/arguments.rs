//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use onceflow_framework::reset::{Reset, ResetTo};
use onceflow_framework::{Config, Error, ErrorKind, Timestamp};

use crate::time::{instant, span};

/// How long members are waited for with --force: longer than a session lasts by default.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has a stopped application begin anew: sets the offsets of its input topics, deletes its internal
/// topics and its local state.
///
/// Without --execute it only says what it would do.
#[derive(Debug, Parser)]
#[command(name = "onceflow-reset", version, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The application's id, application.id
    #[arg(long, value_name = "ID")]
    application_id: String,

    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT,...", default_value = "localhost:9092")]
    bootstrap_servers: String,

    /// The topics that the application reads and others write, separated by commas
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',')]
    input_topics: Vec<String>,

    #[command(flatten)]
    start: Start,

    /// Deletes only these of the internal topics (default: all that are named after the application)
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',')]
    internal_topics: Option<Vec<String>>,

    /// Where the application keeps its local state, state.dir (default: as the application's)
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// A file of settings, such as security.protocol: those of the application will do
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,

    /// Does it
    #[arg(long)]
    pub(crate) execute: bool,

    /// Waits up to 60 s for members of processes that were killed, whose sessions have to time out.
    /// An application that runs is refused all the same: stop it
    #[arg(long)]
    force: bool,
}

/// Where input topics are begun to be read: one of these (default: --to-earliest).
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
struct Start {
    /// At the oldest record
    #[arg(long)]
    to_earliest: bool,
    /// After the newest record
    #[arg(long)]
    to_latest: bool,
    /// At this offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// At the first record from this time on: 2025-11-21T19:00:00Z, or with .250 and +01:00
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to_datetime: Option<Timestamp>,
    /// At the first record that is no older than this: PT30M, P1DT12H
    #[arg(long, value_name = "SPAN", value_parser = span)]
    by_duration: Option<Duration>,
    /// So many records further on than committed, or back: -100
    #[arg(long, value_name = "RECORDS", allow_hyphen_values = true)]
    shift_by: Option<i64>,
}

const AFTER_HELP: &str = "\
Examples:
  onceflow-reset --application-id word-count --input-topics lines
  onceflow-reset --application-id word-count --input-topics lines --execute
  onceflow-reset --application-id word-count --input-topics lines --by-duration P1D --execute
  onceflow-reset --application-id shop --bootstrap-servers kafka:9093 --config-file shop.properties

Output topics are left as they are: what is written again is in them twice.
Exit status: 0 when it is planned or done, 1 when it is not.";

impl Arguments {
    pub(crate) fn reset(&self) -> Result<Reset, Error> {
        let reset = Reset::of(self.config()?).input_topics(self.input_topics.iter().cloned());
        let reset = match &self.internal_topics {
            Some(topics) => reset.internal_topics(topics.iter().cloned()),
            None => reset,
        };
        let reset = reset.to(self.start.to());
        Ok(match self.force {
            true => reset.wait_for_members(PATIENCE),
            false => reset,
        })
    }

    fn config(&self) -> Result<Config, Error> {
        let mut builder = Config::builder(&self.application_id, &self.bootstrap_servers);
        if let Some(path) = &self.config_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let message = format!("cannot read {}", path.display());
                Error::new(ErrorKind::Config, message).because(error)
            })?;
            builder = builder.properties_text(&text);
            // What is said here counts, whatever the file says.
            builder = builder.property("application.id", &self.application_id);
        }
        if let Some(directory) = &self.state_dir {
            builder = builder.state_dir(directory);
        }
        builder.build()
    }
}

impl Start {
    fn to(&self) -> ResetTo {
        let Start {
            to_latest,
            to_offset,
            to_datetime,
            by_duration,
            shift_by,
            ..
        } = self;
        None.or(to_latest.then_some(ResetTo::Latest))
            .or(to_offset.map(ResetTo::Offset))
            .or(to_datetime.map(ResetTo::Time))
            .or(by_duration.map(ResetTo::Ago))
            .or(shift_by.map(ResetTo::ShiftBy))
            .unwrap_or(ResetTo::Earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        let id = ["onceflow-reset", "--application-id", "shop"];
        Arguments::try_parse_from([&id[..], words].concat())
    }

    #[test]
    fn each_start_is_understood_and_earliest_is_the_default() {
        for (words, to) in [
            (&[][..], ResetTo::Earliest),
            (&["--to-earliest"], ResetTo::Earliest),
            (&["--to-latest"], ResetTo::Latest),
            (&["--to-offset", "7"], ResetTo::Offset(7)),
            (&["--shift-by", "-7"], ResetTo::ShiftBy(-7)),
            (
                &["--by-duration", "PT1M"],
                ResetTo::Ago(Duration::from_secs(60)),
            ),
            (
                &["--to-datetime", "1970-01-01T00:00:01Z"],
                ResetTo::Time(Timestamp::from_millis(1_000)),
            ),
        ] {
            assert_eq!(parse(words).unwrap().start.to(), to, "{words:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for words in [
            &["--to-latest", "--to-earliest"][..],
            &["--to-offset", "-1"],
            &["--to-datetime", "yesterday"],
            &["--by-duration", "a day"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        assert!(Arguments::try_parse_from(["onceflow-reset"]).is_err());
    }

    #[test]
    fn topics_are_separated_by_commas_and_settings_are_taken_from_a_file() {
        let arguments = parse(&["--input-topics", "a,b"]).unwrap();
        assert_eq!(arguments.input_topics, ["a", "b"]);
        let error = parse(&["--config-file", "/nowhere/x"]).unwrap().config();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot read /nowhere/x"), "{error}");
    }
}

//! The audit: averages against the samples that they say they are of.
//!
//! # Invariants
//!
//! - Every claim can fail, and a test makes it fail.
//! - A lost sample is counted, not held against the monitor: at most once allows it.

use std::collections::{BTreeMap, BTreeSet};

use onceflow_examples::finding::Finding;
use onceflow_examples::text::count;

use crate::model::{Average, SECONDS, Sample, percent};

/// What the audit found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) findings: Vec<Finding>,
    /// Samples that some average came out for.
    pub(crate) arrived: usize,
    pub(crate) lost: usize,
    /// Minutes of hosts that have an average.
    pub(crate) minutes: usize,
    /// One of them, in words.
    pub(crate) example: String,
}

/// Holds averages, in the order of their partitions, against the samples that were taken.
pub(crate) fn audit(taken: &[Sample], averages: &[Average]) -> Outcome {
    let busy: BTreeMap<(&str, u64), u64> = taken
        .iter()
        .map(|sample| ((&*sample.host, sample.second), sample.busy))
        .collect();
    let mut arrived = BTreeSet::new();
    let twice: Vec<String> = averages
        .iter()
        .filter(|average| !arrived.insert((&*average.host, average.latest)))
        .map(|average| format!("{} second {} came again", average.host, average.latest))
        .collect();
    let strangers = arrived.iter().filter(|key| !busy.contains_key(*key));
    let strangers = strangers.map(|(host, second)| format!("{host} was not sampled at {second}"));
    let extent = format!("{} averages", count(averages.len()));
    let nothing = averages.is_empty().then(|| "there is none".to_owned());
    let findings = vec![
        Finding::new("averages came out", extent.clone(), nothing.into_iter()),
        Finding::new(
            "no sample came out twice",
            extent.clone(),
            twice.into_iter(),
        ),
        Finding::new(
            "nothing came out that was not sampled",
            extent.clone(),
            strangers,
        ),
        Finding::new(
            "no sample is in an average twice",
            extent.clone(),
            averages.iter().filter_map(counted_twice),
        ),
        Finding::new(
            "every average is right for the samples that it is of",
            extent,
            averages.iter().filter_map(|average| wrong(average, &busy)),
        ),
    ];
    let last: BTreeMap<_, _> = averages
        .iter()
        .map(|average| ((&*average.host, average.minute), average))
        .collect();
    Outcome {
        findings,
        arrived: arrived.len(),
        lost: taken.len().saturating_sub(arrived.len()),
        minutes: last.len(),
        example: last.values().next().map_or(String::new(), |it| words(it)),
    }
}

fn counted_twice(average: &Average) -> Option<String> {
    let different = u64::from(average.seconds.count_ones());
    let Average {
        host,
        minute,
        samples,
        ..
    } = average;
    (different != *samples)
        .then(|| format!("{host} minute {minute}: {samples} samples, of {different} seconds"))
}

/// What is wrong with an average, if anything.
fn wrong(average: &Average, busy: &BTreeMap<(&str, u64), u64>) -> Option<String> {
    let Average { host, minute, .. } = average;
    let seconds = (0..SECONDS).filter(|second| average.seconds >> second & 1 == 1);
    let of = seconds.map(|second| busy.get(&(&**host, minute * SECONDS + second)));
    let Some(sum) = of.sum::<Option<u64>>() else {
        return Some(format!(
            "{host} minute {minute} is of seconds without a sample"
        ));
    };
    let mean = percent(sum, average.seconds.count_ones().into());
    let same = average.sum == sum && (average.percent - mean).abs() < 1e-9;
    (!same).then(|| {
        let said = average.percent;
        format!("{host} minute {minute}: says {said:.3} %, is {mean:.3} %")
    })
}

fn words(average: &Average) -> String {
    let Average {
        host,
        minute,
        percent,
        samples,
        ..
    } = average;
    format!("{host}, minute {minute}: {percent:.1} % busy, by {samples} samples")
}

#[cfg(test)]
mod tests {
    use onceflow_examples::random::Random;

    use super::*;
    use crate::model::samples;

    /// What a monitor without faults tells of these samples.
    fn honest(samples: &[Sample]) -> Vec<Average> {
        let mut minutes: BTreeMap<(String, u64), Average> = BTreeMap::new();
        let mut average = |sample: &Sample| {
            let minute = minutes.entry((sample.host.clone(), sample.minute()));
            let minute = minute.or_default();
            *minute = minute.clone().with(sample);
            minute.clone()
        };
        samples.iter().map(&mut average).collect()
    }

    /// The claims that do not hold after a defect, of a monitor that lost every tenth sample.
    fn broken(defect: impl FnOnce(&mut Vec<Average>)) -> Vec<&'static str> {
        let taken = samples(&mut Random::seeded(1), 3, 600);
        let arrived = taken.iter().enumerate();
        let arrived = arrived.filter(|(at, _)| at % 10 != 0);
        let arrived: Vec<Sample> = arrived.map(|(_, sample)| sample.clone()).collect();
        let mut averages = honest(&arrived);
        defect(&mut averages);
        let outcome = audit(&taken, &averages);
        assert!(outcome.lost >= 60, "{}", outcome.lost);
        let broken = outcome.findings.into_iter().filter(|it| !it.holds());
        broken.map(|finding| finding.claim).collect()
    }

    #[test]
    fn losses_are_allowed() {
        assert_eq!(broken(|_| ()), [""; 0]);
    }

    #[test]
    fn a_monitor_that_loses_everything_does_not_pass() {
        assert_eq!(broken(Vec::clear), ["averages came out"]);
    }

    #[test]
    fn a_sample_that_comes_out_again_is_found() {
        let again = |averages: &mut Vec<Average>| averages.push(averages[7].clone());
        assert_eq!(broken(again), ["no sample came out twice"]);
    }

    #[test]
    fn a_sample_that_is_counted_again_is_found() {
        let again = |averages: &mut Vec<Average>| {
            averages[7].samples += 1;
        };
        assert_eq!(broken(again), ["no sample is in an average twice"]);
    }

    #[test]
    fn a_wrong_average_is_found() {
        let right = "every average is right for the samples that it is of";
        assert_eq!(broken(|averages| averages[7].sum += 1), [right]);
        assert_eq!(broken(|averages| averages[7].percent += 0.1), [right]);
        assert_eq!(broken(|averages| averages[7].minute = 1_000), [right]);
    }

    #[test]
    fn a_host_that_nobody_sampled_is_found() {
        let stranger = |averages: &mut Vec<Average>| averages[7].latest = 9_999;
        assert_eq!(broken(stranger), ["nothing came out that was not sampled"]);
    }
}

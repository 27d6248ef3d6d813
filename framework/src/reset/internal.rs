//! Which topics an application made for itself: told by their names.
//!
//! ```text
//!   <application>-<store>-changelog
//!   <application>-<name>-repartition
//!   <application>-...subscription-registration-topic      of a foreign-key join, and its response
//! ```
//!
//! # Invariants
//!
//! - A topic that begins with a longer group's id is that group's: `shop-eu-x-changelog` is not
//!   `shop`'s while there is a group `shop-eu`.

use crate::error::{Error, ErrorKind};

/// What the names of internal topics end in.
const ENDS: [&str; 4] = [
    "-changelog",
    "-repartition",
    "-subscription-registration-topic",
    "-subscription-response-topic",
];

/// What foreign-key joins without a name call their topics, before a number.
const FOREIGN: [&str; 2] = [
    "KTABLE-FK-JOIN-SUBSCRIPTION-REGISTRATION-",
    "KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-",
];

/// Topics that look like an application's own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Internal {
    pub(super) own: Vec<String>,
    /// By the longer id of the group that they belong to.
    pub(super) spared: Vec<(String, String)>,
}

/// Finds the internal topics of an application, among these groups.
pub(super) fn find<'t>(
    application_id: &str,
    topics: impl Iterator<Item = &'t String>,
    groups: &[String],
) -> Internal {
    let mut found = Internal::default();
    for topic in topics.filter(|topic| is_internal(application_id, topic)) {
        let longer = groups
            .iter()
            .filter(|group| group.len() > application_id.len() && is_internal(group, topic));
        match longer.max_by_key(|group| group.len()) {
            Some(group) => found.spared.push((topic.clone(), group.clone())),
            None => found.own.push(topic.clone()),
        }
    }
    found
}

impl Internal {
    /// Only these, if any are named; each must be the application's own.
    pub(super) fn only(self, wanted: Option<&[String]>) -> Result<Self, Error> {
        let Some(wanted) = wanted else {
            return Ok(self);
        };
        let strange = wanted.iter().filter(|topic| !self.own.contains(topic));
        let strange: Vec<String> = strange
            .map(|topic| format!("{topic} is no internal topic of this application"))
            .collect();
        if !strange.is_empty() {
            return Err(Error::listing(
                ErrorKind::Topics,
                "internal topics",
                &strange,
            ));
        }
        Ok(Internal {
            own: wanted.to_vec(),
            spared: self.spared,
        })
    }
}

fn is_internal(application_id: &str, topic: &str) -> bool {
    let rest = topic.strip_prefix(application_id);
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    // A name before the end: `<application>-changelog` is a topic of the users'.
    let named = |end: &&str| rest.len() > end.len() && rest.ends_with(*end);
    ENDS.iter().any(named) || FOREIGN.iter().any(|start| is_numbered(rest, start))
}

/// Whether it is this beginning, a number, and `-topic`.
fn is_numbered(name: &str, start: &str) -> bool {
    let rest = name.strip_prefix(start);
    let number = rest.and_then(|rest| rest.strip_suffix("-topic"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(application: &str, topics: &[&str], groups: &[&str]) -> Internal {
        let topics: Vec<String> = topics.iter().map(|it| (*it).to_owned()).collect();
        let groups: Vec<String> = groups.iter().map(|it| (*it).to_owned()).collect();
        find(application, topics.iter(), &groups)
    }

    #[test]
    fn internal_topics_are_told_by_application_and_end() {
        let own = [
            "shop-counts-changelog",
            "shop-by-id-repartition",
            "shop-join-subscription-registration-topic",
            "shop-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-0000000014-topic",
        ];
        let others = [
            "orders",
            "shop",
            "shop-orders",
            "shop-changelog",
            "shop-changelogs",
            "shoplifting-counts-changelog",
            "bookshop-counts-changelog",
            "shop-KTABLE-FK-JOIN-SUBSCRIPTION-RESPONSE-x-topic",
        ];
        let all = [&own[..], &others].concat();
        assert_eq!(found("shop", &all, &["shop"]).own, own);
    }

    #[test]
    fn a_topic_of_a_group_with_a_longer_id_is_spared() {
        let topics = ["shop-counts-changelog", "shop-eu-counts-changelog"];
        let both = found("shop", &topics, &["shop", "shop-eu", "shop-us"]);
        assert_eq!(both.own, ["shop-counts-changelog"]);
        let spared = ("shop-eu-counts-changelog".to_owned(), "shop-eu".to_owned());
        assert_eq!(both.spared, [spared]);
        // Without that group, "eu-counts" is a store of shop's.
        assert_eq!(found("shop", &topics, &["shop"]).own, topics);
        assert_eq!(
            found("shop-eu", &topics, &["shop"]).own,
            ["shop-eu-counts-changelog"]
        );
    }

    #[test]
    fn only_own_topics_can_be_named() {
        let topics = ["shop-a-changelog", "shop-b-changelog", "orders"];
        let of = |named: &str| found("shop", &topics, &[]).only(Some(&[named.to_owned()]));
        assert_eq!(of("shop-b-changelog").unwrap().own, ["shop-b-changelog"]);
        let error = of("orders").unwrap_err().to_string();
        assert!(error.contains("orders is no internal topic"), "{error}");
    }
}

//! The text: a file's, or one that is made up, in which some words are much more frequent.

use std::path::Path;

use onceflow_examples::Result;
use onceflow_examples::random::Random;

/// From the most frequent to the rarest.
const VOCABULARY: &[&str] = &[
    "the", "of", "and", "a", "to", "in", "is", "once", "that", "it", "was", "for", "on", "are",
    "with", "stream", "record", "they", "at", "be", "this", "from", "have", "or", "one", "had",
    "by", "topic", "but", "not", "what", "all", "were", "when", "we", "there", "can", "an", "your",
    "which", "offset", "their", "if", "will", "each", "about", "how", "up", "out", "them", "then",
    "she", "many", "some", "so", "these", "would", "other", "into", "broker", "has", "more", "her",
    "two", "like", "him", "see", "time", "could", "no", "make", "than", "first", "been", "its",
    "who", "now", "people", "my", "made", "over", "did", "down", "only", "way", "find", "use",
];

/// The longest line, in words.
const WORDS_MAX: u64 = 12;

/// Lines of a seed.
pub(crate) fn lines(random: &mut Random, count: u64) -> Vec<String> {
    let line = |_| {
        let words = 1 + random.below(WORDS_MAX);
        let words: Vec<&str> = (0..words).map(|_| word(random)).collect();
        words.join(" ")
    };
    (0..count).map(line).collect()
}

/// One of the first so many, so many being one of the first so many: the first are the most frequent.
fn word(random: &mut Random) -> &'static str {
    let few = 1 + random.below(VOCABULARY.len() as u64);
    let fewer = 1 + random.below(few);
    let rank = random.below(fewer);
    VOCABULARY[usize::try_from(rank).unwrap_or(0)]
}

/// Lines of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

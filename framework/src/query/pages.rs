//! Many entries: asked for slice by slice, task by task.

use bytes::Bytes;

use super::ask::Asker;
use super::error::QueryError;
use crate::record::TaskId;
use crate::state::{ANSWER_ENTRIES_MAX, Answer, Entry, Question};

/// The entries that a question is for, as they come.
pub(super) struct Pages {
    pub(super) asker: Asker,
    question: Question,
    /// What is still to be asked; none before the first step.
    places: Option<std::vec::IntoIter<Option<TaskId>>>,
    /// The task that has more, and the question about it.
    rest: Option<(Option<TaskId>, Question)>,
    page: std::vec::IntoIter<Entry>,
}

impl Pages {
    /// Of every task that is here.
    pub(super) fn of_all(asker: Asker, question: Question) -> Self {
        Pages {
            asker,
            question,
            places: None,
            rest: None,
            page: Vec::new().into_iter(),
        }
    }

    /// Of the task that has a key.
    pub(super) fn of_key(asker: Asker, key: &[u8], question: Question) -> Self {
        let place = asker.task_of(key);
        Pages {
            places: Some(vec![place].into_iter()),
            ..Pages::of_all(asker, question)
        }
    }

    /// The next entry: a changelog key and its value.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, QueryError> {
        loop {
            if let Some(entry) = self.page.next() {
                return Ok(Some(entry));
            }
            let Some((place, question)) = self.take_rest()? else {
                return Ok(None);
            };
            let Answer::Entries(page) = self.asker.ask(place, question.clone()).await? else {
                unreachable!("a question for entries is answered with entries");
            };
            if page.len() == ANSWER_ENTRIES_MAX {
                let last: Option<Bytes> = page.last().map(|(key, _)| key.clone());
                self.rest = last.map(|last| (place, question.behind(last)));
            }
            self.page = page.into_iter();
        }
    }

    fn take_rest(&mut self) -> Result<Option<(Option<TaskId>, Question)>, QueryError> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        let places = match &mut self.places {
            Some(places) => places,
            unknown => unknown.insert(self.asker.places()?.into_iter()),
        };
        Ok(places.next().map(|place| (place, self.question.clone())))
    }
}

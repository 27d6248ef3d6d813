//! Faults on demand: which requests are lost, delayed or refused, and when the broker hangs.
//!
//! # Invariants
//!
//! - **Rules apply in the order they were made**, and the first that matches decides.
//! - **Nothing happens that was not asked for:** no rule, no fault.
//! - **At most [`RULES_MAX`] rules wait at a time**; a rule that is used up goes.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;

use crate::ErrorCode;
use crate::request::{Outcome, Request};
use crate::wire;

/// Rules beyond this number replace the oldest.
pub const RULES_MAX: usize = 1_000;

/// The faults of a broker: those that wait for their request, and those that last for a while.
#[derive(Debug, Default)]
pub struct Faults {
    rules: BTreeMap<FaultId, Rule>,
    hits: BTreeMap<FaultId, u64>,
    made: u64,
    hung_until_ms: i64,
    away: BTreeMap<Coordinator, Away>,
}

/// Names a fault, to ask whether it has struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(u64);

/// Which of the broker's two coordinators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coordinator {
    /// Of consumer groups and their offsets.
    Group,
    /// Of transactional ids.
    Transaction,
}

/// A fault in the making: say which requests it strikes, then what it does.
#[must_use = "a fault is made by saying what it does"]
pub struct FaultRule<'a> {
    rule: Rule,
    install: Box<dyn FnOnce(Rule) -> FaultId + 'a>,
}

/// Which requests, how often, and what then.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    api: Option<ApiKey>,
    client_id: Option<String>,
    skip: u64,
    left: Option<u64>,
    action: Action,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    LoseRequest,
    LoseAnswer,
    Delay(i64),
    DelayAnswer(i64),
    Refuse(ErrorCode),
    RefuseAfter(ErrorCode),
}

#[derive(Debug, Clone, Copy)]
struct Away {
    until_ms: i64,
    code: ErrorCode,
}

/// What is done with a request.
#[derive(Debug)]
pub(crate) enum Decision {
    Proceed,
    Close,
    Hold(i64),
    Refuse(ErrorCode),
    Then(After),
    ThenRefuse(ErrorCode),
}

/// What is done with the answer, once there is one.
#[derive(Debug)]
pub(crate) enum After {
    Lose,
    Hold(i64),
    Replace(Outcome),
}

impl std::fmt::Debug for FaultRule<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultRule")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl<'a> FaultRule<'a> {
    pub(crate) fn new(api: Option<ApiKey>, install: impl FnOnce(Rule) -> FaultId + 'a) -> Self {
        let rule = Rule {
            api,
            client_id: None,
            skip: 0,
            left: None,
            action: Action::LoseRequest,
        };
        Self {
            rule,
            install: Box::new(install),
        }
    }

    /// Strikes this many times and is then gone; without it, every time.
    pub fn times(mut self, times: u64) -> Self {
        self.rule.left = Some(times);
        self
    }

    /// Lets this many matching requests pass first.
    pub fn after(mut self, requests: u64) -> Self {
        self.rule.skip = requests;
        self
    }

    /// Strikes only requests of clients with this `client.id`.
    pub fn from_client(mut self, client_id: impl Into<String>) -> Self {
        self.rule.client_id = Some(client_id.into());
        self
    }

    /// The request is lost on its way: nothing happens and the connection closes.
    pub fn lose_request(self) -> FaultId {
        self.make(Action::LoseRequest)
    }

    /// The request takes effect, but its answer is lost and the connection closes.
    pub fn lose_answer(self) -> FaultId {
        self.make(Action::LoseAnswer)
    }

    /// The request takes effect only after `delay`.
    pub fn delay(self, delay: Duration) -> FaultId {
        self.make(Action::Delay(millis(delay)))
    }

    /// The request takes effect at once, its answer leaves only after `delay`.
    pub fn delay_answer(self, delay: Duration) -> FaultId {
        self.make(Action::DelayAnswer(millis(delay)))
    }

    /// The request is refused with this error and has no effect.
    pub fn fail(self, code: ErrorCode) -> FaultId {
        self.make(Action::Refuse(code))
    }

    /// The request takes effect, and the answer says that it did not.
    pub fn fail_after_effect(self, code: ErrorCode) -> FaultId {
        self.make(Action::RefuseAfter(code))
    }

    fn make(mut self, action: Action) -> FaultId {
        self.rule.action = action;
        (self.install)(self.rule)
    }
}

impl Faults {
    /// A fault that strikes requests of this API.
    ///
    /// ```
    /// use onceflow_broker::{ApiKey, Core, Options};
    ///
    /// let mut core = Core::new(Options::default());
    /// let fault = core.faults().on(ApiKey::EndTxn).times(1).lose_answer();
    /// assert_eq!(core.faults().hits(fault), 0);
    /// ```
    pub fn on(&mut self, api: ApiKey) -> FaultRule<'_> {
        FaultRule::new(Some(api), |rule| self.install(rule))
    }

    /// A fault that strikes requests of any API.
    pub fn on_any(&mut self) -> FaultRule<'_> {
        FaultRule::new(None, |rule| self.install(rule))
    }

    /// How often a fault has struck.
    #[must_use]
    pub fn hits(&self, fault: FaultId) -> u64 {
        self.hits.get(&fault).copied().unwrap_or(0)
    }

    /// Takes a fault back.
    pub fn remove(&mut self, fault: FaultId) {
        self.rules.remove(&fault);
    }

    /// Takes all faults back, and ends hanging and absence.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.away.clear();
        self.hung_until_ms = 0;
    }

    /// The broker takes requests in but does nothing until then.
    pub fn hang_until(&mut self, until_ms: i64) {
        self.hung_until_ms = until_ms;
    }

    /// The coordinator answers `code` (`NOT_COORDINATOR`, `COORDINATOR_LOAD_IN_PROGRESS`, …) until then.
    pub fn coordinator_away_until(&mut self, which: Coordinator, code: ErrorCode, until_ms: i64) {
        self.away.insert(which, Away { until_ms, code });
    }

    pub(crate) fn install(&mut self, rule: Rule) -> FaultId {
        self.made += 1;
        let id = FaultId(self.made);
        if self.rules.len() >= RULES_MAX {
            self.rules.pop_first();
        }
        if self.hits.len() >= RULES_MAX {
            self.hits.pop_first();
        }
        self.rules.insert(id, rule);
        id
    }

    /// Whether any fault has struck so far: somebody may wait for it.
    pub(crate) fn have_struck(&self) -> bool {
        !self.hits.is_empty()
    }

    pub(crate) fn hung_until(&self, now_ms: i64) -> Option<i64> {
        (self.hung_until_ms > now_ms).then_some(self.hung_until_ms)
    }

    pub(crate) fn coordinator_error(&self, which: Coordinator, now_ms: i64) -> Option<ErrorCode> {
        self.away
            .get(&which)
            .filter(|away| away.until_ms > now_ms)
            .map(|away| away.code)
    }

    pub(crate) fn decide(&mut self, request: &Request) -> Decision {
        let api = wire::api_key(&request.body);
        let matching = self
            .rules
            .iter_mut()
            .filter(|(_, rule)| rule.matches(api, &request.client_id));
        let mut struck = None;
        for (id, rule) in matching {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.left = rule.left.map(|left| left.saturating_sub(1));
            struck = Some((*id, rule.action, rule.left == Some(0)));
            break;
        }
        let Some((id, action, used_up)) = struck else {
            return Decision::Proceed;
        };
        *self.hits.entry(id).or_default() += 1;
        if used_up {
            self.rules.remove(&id);
        }
        action.decision()
    }
}

impl Rule {
    fn matches(&self, api: i16, client_id: &str) -> bool {
        self.left != Some(0)
            && self.api.is_none_or(|wanted| wanted as i16 == api)
            && self
                .client_id
                .as_ref()
                .is_none_or(|wanted| wanted == client_id)
    }
}

impl Action {
    fn decision(self) -> Decision {
        match self {
            Self::LoseRequest => Decision::Close,
            Self::LoseAnswer => Decision::Then(After::Lose),
            Self::Delay(ms) => Decision::Hold(ms),
            Self::DelayAnswer(ms) => Decision::Then(After::Hold(ms)),
            Self::Refuse(code) => Decision::Refuse(code),
            Self::RefuseAfter(code) => Decision::ThenRefuse(code),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

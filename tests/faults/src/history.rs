//! What clients asked for, and what they were told: invoke, then ok, refused or unknown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::clients::CHECK_UP;

/// One request of a client, from the moment at which it was sent.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    pub number: usize,
    pub client: String,
    /// Whose reservation it is about: a name that nobody else has, so that it is found even if no answer came.
    pub visit: String,
    pub action: Action,
    pub key: Option<String>,
    #[serde(rename = "invoked_ms", serialize_with = "milliseconds")]
    pub invoked: Duration,
    #[serde(rename = "ended_ms", serialize_with = "milliseconds_if_any")]
    pub ended: Option<Duration>,
    pub outcome: Outcome,
}

fn milliseconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_millis())
}

fn milliseconds_if_any<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis()).serialize(serializer)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    Reserve {
        date: String,
        phone: String,
    },
    ChangeDate {
        reservation: i64,
        date: String,
    },
    Cancel {
        reservation: i64,
    },
    Pay {
        reservation: i64,
        bill: i64,
    },
    Refund {
        reservation: i64,
        bill: i64,
    },
    Read {
        reservation: i64,
    },
    /// A request with a token that nobody may accept.
    Intrude,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "was", rename_all = "kebab-case")]
pub enum Outcome {
    Ok {
        status: u16,
        body: Value,
    },
    /// The answer says that it was not done.
    Refused {
        status: u16,
        kind: String,
    },
    /// No answer came, or one that says nothing: it may have been done, and may still be.
    Unknown {
        why: String,
    },
}

/// 503 with one of these is said before anything is done.
const NOT_DONE: [&str; 6] =
    ["diagnosis-unavailable", "upstream-unavailable", "keys-unavailable", "overloaded", "too-late", "draining"];

impl Outcome {
    pub fn of_answer(status: u16, body: Value) -> Self {
        let kind = body["type"].as_str().unwrap_or_default().trim_start_matches("urn:problem:").to_owned();
        match status {
            200..300 => Self::Ok { status, body },
            400..500 => Self::Refused { status, kind },
            503 if NOT_DONE.contains(&kind.as_str()) => Self::Refused { status, kind },
            _ => Self::Unknown { why: format!("{status} {kind}") },
        }
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok { .. })
    }

    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// With this status, what the answer said.
    pub fn ok_with(&self, wanted: u16) -> Option<&Value> {
        match self {
            Self::Ok { status, body } if *status == wanted => Some(body),
            _ => None,
        }
    }
}

impl Operation {
    /// Whether it may have changed something: acknowledged, or nobody knows.
    pub fn may_have_happened(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused { .. })
    }

    /// Whether its answer had come before `other` was asked for.
    pub fn came_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.invoked)
    }
}

/// The log that all clients of a trial write.
#[derive(Debug, Clone)]
pub struct History {
    started: Instant,
    operations: Arc<Mutex<Vec<Operation>>>,
}

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub requests: usize,
    pub ok: usize,
    pub refused: usize,
    pub unknown: usize,
}

impl History {
    pub fn begin() -> Self {
        Self { started: Instant::now(), operations: Arc::default() }
    }

    /// Writes down that a request is about to be sent; gives its number.
    pub fn invoke(&self, client: &str, visit: &str, action: Action, key: Option<&str>) -> usize {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let number = operations.len();
        operations.push(Operation {
            number,
            client: client.to_owned(),
            visit: visit.to_owned(),
            action,
            key: key.map(str::to_owned),
            invoked: self.started.elapsed(),
            ended: None,
            outcome: Outcome::Unknown { why: "it was never answered".to_owned() },
        });
        number
    }

    pub fn complete(&self, number: usize, outcome: Outcome) {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operation) = operations.get_mut(number) {
            operation.ended = Some(self.started.elapsed());
            operation.outcome = outcome;
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many reservations have been acknowledged so far.
    pub fn reserved(&self) -> usize {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let reserves = operations.iter().filter(|operation| matches!(operation.action, Action::Reserve { .. }));
        reserves.filter(|operation| operation.outcome.ok_with(201).is_some()).count()
    }

    /// The number that the next request will have.
    pub fn next(&self) -> usize {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Of clients: what the campaign itself asks afterwards says nothing of what they met.
    pub fn counts(&self) -> Counts {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Counts::default();
        for operation in operations.iter().filter(|operation| operation.client != CHECK_UP) {
            counts.requests += 1;
            match operation.outcome {
                Outcome::Ok { .. } => counts.ok += 1,
                Outcome::Refused { .. } => counts.refused += 1,
                Outcome::Unknown { .. } => counts.unknown += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_answer_that_says_so_is_a_refusal() {
        let problem = |kind: &str| json!({"type": format!("urn:problem:{kind}")});
        assert!(Outcome::of_answer(201, json!({"id": 1})).is_ok());
        assert_eq!(
            Outcome::of_answer(503, problem("diagnosis-unavailable")),
            Outcome::Refused { status: 503, kind: "diagnosis-unavailable".to_owned() }
        );
        for (status, kind) in [(503, "storage-unavailable"), (502, "upstream-failed"), (500, "internal")] {
            assert!(Outcome::of_answer(status, problem(kind)).is_unknown(), "{status} {kind}");
        }
    }

    #[test]
    fn a_request_without_an_answer_is_unknown_and_comes_before_nothing() {
        let history = History::begin();
        history.invoke("1", "visit", Action::Intrude, None);
        let second = history.invoke("1", "visit", Action::Intrude, None);
        history.complete(second, Outcome::of_answer(401, Value::Null));
        let third = history.invoke("1", "visit", Action::Intrude, None);
        let operations = history.operations();
        assert!(operations[0].outcome.is_unknown());
        assert!(!operations[0].came_before(&operations[third]));
        assert_eq!(history.counts(), Counts { requests: 3, ok: 0, refused: 1, unknown: 2 });
    }
}

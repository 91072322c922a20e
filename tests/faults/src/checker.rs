//! The judge: a pure function from the evidence to the promises that it shows broken.

mod doubles;
mod effects;
mod posts;
mod promises;
mod streams;
#[cfg(test)]
mod testing;
mod view;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use serde::Serialize;

use crate::evidence::Evidence;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Invariant {
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I7,
    I8,
    I9,
    I10,
    I11,
}

pub const INVARIANTS: [(Invariant, &str); 11] = [
    (Invariant::I1, "what was acknowledged is there, as it was acknowledged"),
    (Invariant::I2, "a confirmed reservation has exactly one live medical record, and no other has one"),
    (Invariant::I3, "a treatment has one bill, and a cancelled one none that is live"),
    (Invariant::I4, "each change of state is told once, as one event and one notice"),
    (Invariant::I5, "the view is the fold of its sources"),
    (Invariant::I6, "the events of a key are in order and without a gap, in the topic and at every consumer"),
    (Invariant::I7, "one idempotency key has one effect and one answer"),
    (Invariant::I8, "nothing stays half done, and nothing undecided for more than 30 s"),
    (Invariant::I9, "parked is what cannot be processed, with its reason, and nothing else"),
    (Invariant::I10, "no bad token is accepted and no good one refused; nothing personal is in a log or metric"),
    (
        Invariant::I11,
        "memory is bounded, no service and no broker ends by itself, and all is well within 30 s of healing",
    ),
];

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    pub invariant: Invariant,
    /// The reservation it is about, where it is about one.
    pub reservation: Option<i64>,
    /// The visit's name where there may be no reservation to find it by.
    pub visit: Option<String>,
    pub what: String,
}

impl Violation {
    /// The reservation or visit it is about, in words; nothing where it is about none.
    pub fn subject(&self) -> String {
        match (self.reservation, &self.visit) {
            (Some(id), _) => format!("reservation {id}: "),
            (None, Some(visit)) => format!("{visit}: "),
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}{}", self.invariant, self.subject(), self.what)
    }
}

/// Collects violations.
#[derive(Debug, Default)]
pub struct Findings {
    violations: Vec<Violation>,
}

impl Findings {
    fn about(&mut self, invariant: Invariant, reservation: i64, what: impl Into<String>) {
        let reservation = Some(reservation);
        self.violations.push(Violation { invariant, reservation, visit: None, what: what.into() });
    }

    fn about_visit(&mut self, invariant: Invariant, visit: &str, reservation: Option<i64>, what: impl Into<String>) {
        let visit = Some(visit.to_owned());
        self.violations.push(Violation { invariant, reservation, visit, what: what.into() });
    }

    fn general(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violations.push(Violation { invariant, reservation: None, visit: None, what: what.into() });
    }
}

/// All promises that the evidence shows broken, sorted.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut findings = Findings::default();
    promises::check(evidence, &mut findings);
    effects::check(evidence, &mut findings);
    doubles::check(evidence, &mut findings);
    posts::check(evidence, &mut findings);
    view::check(evidence, &mut findings);
    streams::check(evidence, &mut findings);
    let mut violations = findings.violations;
    violations.sort();
    violations.dedup();
    violations
}

/// Rows by what they have in common.
fn grouped<'a, T, K: Eq + Hash>(rows: &'a [T], key: impl Fn(&'a T) -> K) -> HashMap<K, Vec<&'a T>> {
    let mut groups: HashMap<K, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_says_what_it_is_about() {
        let told = |reservation, visit: Option<&str>| {
            let visit = visit.map(str::to_owned);
            Violation { invariant: Invariant::I2, reservation, visit, what: "it is gone".to_owned() }.to_string()
        };
        assert_eq!(told(Some(7), None), "I2 reservation 7: it is gone");
        assert_eq!(told(None, Some("Bori")), "I2 Bori: it is gone");
        assert_eq!(told(None, None), "I2 it is gone");
    }
}

//! I1, I7 and I10: what clients were told, against what is there.

use std::collections::{BTreeSet, HashMap};

use super::{Findings, Invariant, grouped};
use crate::evidence::{Bill, Evidence, Reservation};
use crate::history::{Action, Operation, Outcome};

pub fn check(evidence: &Evidence, findings: &mut Findings) {
    let visits = grouped(&evidence.operations, |operation| operation.visit.as_str());
    let rows = grouped(&evidence.reservations, |row| row.name.as_str());
    let by_id: HashMap<i64, &Reservation> = evidence.reservations.iter().map(|row| (row.id, row)).collect();
    let bills: HashMap<i64, &Bill> = evidence.bills.iter().map(|row| (row.id, row)).collect();
    for (visit, operations) in visits {
        let rows = rows.get(visit).map(Vec::as_slice).unwrap_or_default();
        let judged = Visit { name: visit, operations, rows, by_id: &by_id };
        judged.check_creation(findings);
        judged.check_cancellation(findings);
        judged.check_date(findings);
        judged.check_payment(&bills, findings);
        judged.check_reads(findings);
        judged.check_intrusion(findings);
    }
}

/// Everything about one visit that a client wanted.
struct Visit<'a> {
    name: &'a str,
    operations: Vec<&'a Operation>,
    /// What is there under its name.
    rows: &'a [&'a Reservation],
    by_id: &'a HashMap<i64, &'a Reservation>,
}

impl<'a> Visit<'a> {
    fn reserves(&self) -> impl Iterator<Item = &&'a Operation> {
        self.operations.iter().filter(|operation| matches!(operation.action, Action::Reserve { .. }))
    }

    fn cancels(&self) -> impl Iterator<Item = &&'a Operation> {
        self.operations.iter().filter(|operation| matches!(operation.action, Action::Cancel { .. }))
    }

    fn says(&self, findings: &mut Findings, invariant: Invariant, what: impl Into<String>) {
        findings.about_visit(invariant, self.name, self.rows.first().map(|row| row.id), what);
    }

    fn check_creation(&self, findings: &mut Findings) {
        if self.rows.len() > 1 {
            let ids: Vec<i64> = self.rows.iter().map(|row| row.id).collect();
            self.says(findings, Invariant::I7, format!("one request made the reservations {ids:?}"));
        }
        let mut answers = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for operation in self.reserves() {
            let Outcome::Ok { status, body } = &operation.outcome else { continue };
            ids.insert(body["id"].as_i64().unwrap_or_default());
            if *status == 201 {
                answers.insert(answer_of(body));
            }
            self.check_acknowledged(operation, *status, body["id"].as_i64().unwrap_or_default(), findings);
        }
        if ids.len() > 1 {
            self.says(findings, Invariant::I7, format!("one key was answered with the reservations {ids:?}"));
        }
        if answers.len() > 1 {
            self.says(findings, Invariant::I7, format!("one key has two answers: {answers:?}"));
        }
        let all_refused =
            self.reserves().count() > 0 && self.reserves().all(|operation| !operation.may_have_happened());
        if all_refused && self.rows.iter().any(|row| row.state == "RESERVED") {
            self.says(findings, Invariant::I1, "it is reserved, and every request for it was refused");
        }
    }

    fn check_acknowledged(&self, operation: &Operation, status: u16, id: i64, findings: &mut Findings) {
        let Some(row) = self.by_id.get(&id) else {
            return findings.about_visit(
                Invariant::I1,
                self.name,
                Some(id),
                format!("it was answered {status} and is not there"),
            );
        };
        let Action::Reserve { phone, .. } = &operation.action else { return };
        if row.name != self.name || row.phone != *phone {
            self.says(findings, Invariant::I1, format!("it was answered {status} for {} {}", row.name, row.phone));
        }
        let may_be_canceled = self.cancels().any(|cancel| cancel.may_have_happened());
        if status == 201 && row.state != "RESERVED" && !may_be_canceled {
            self.says(
                findings,
                Invariant::I1,
                format!("it was acknowledged, nobody cancelled it, and it is {}", row.state),
            );
        }
    }

    fn check_cancellation(&self, findings: &mut Findings) {
        for cancel in self.cancels().filter(|cancel| cancel.outcome.is_ok()) {
            let Action::Cancel { reservation } = cancel.action else { continue };
            let state = self.by_id.get(&reservation).map_or("not there", |row| row.state.as_str());
            // Cancelling what the clinic has refused is answered as done as well.
            if !["CANCELED", "REJECTED"].contains(&state) {
                self.says(findings, Invariant::I1, format!("its cancellation was acknowledged and it is {state}"));
            }
        }
    }

    /// The date is that of the last acknowledged request, or of one that may have come into effect after it.
    fn check_date(&self, findings: &mut Findings) {
        for row in self.rows.iter().filter(|row| row.state == "RESERVED") {
            let dated: Vec<(&Operation, &str)> = self
                .operations
                .iter()
                .filter(|operation| operation.may_have_happened())
                .filter_map(|operation| match &operation.action {
                    Action::Reserve { date, .. } | Action::ChangeDate { date, .. } => Some((*operation, date.as_str())),
                    _ => None,
                })
                .collect();
            let is_settled = |change: &Operation| match &change.action {
                Action::ChangeDate { .. } => change.outcome.ok_with(200).is_some(),
                _ => false,
            };
            let is_possible = |candidate: &Operation| {
                // What is not settled may come into effect at any later time.
                let is_open = matches!(candidate.action, Action::ChangeDate { .. }) && !is_settled(candidate);
                is_open || !dated.iter().any(|(later, _)| is_settled(later) && candidate.came_before(later))
            };
            let possible: BTreeSet<&str> =
                dated.iter().filter(|(operation, _)| is_possible(operation)).map(|(_, date)| *date).collect();
            if !possible.contains(row.date.as_str()) {
                let what = format!("its date is {}, and by what was acknowledged one of {possible:?}", row.date);
                self.says(findings, Invariant::I1, what);
            }
        }
    }

    fn check_payment(&self, bills: &HashMap<i64, &Bill>, findings: &mut Findings) {
        let is_given_back = self.operations.iter().any(|operation| {
            matches!(operation.action, Action::Refund { .. } | Action::Cancel { .. }) && operation.may_have_happened()
        });
        let mut answers = BTreeSet::new();
        for operation in self.operations.iter().filter(|operation| operation.outcome.is_ok()) {
            if let (Action::Pay { .. }, Some(body)) = (&operation.action, operation.outcome.ok_with(200)) {
                answers.insert(answer_of(body));
            }
            let (bill, wanted) = match operation.action {
                Action::Pay { bill, .. } if !is_given_back => (bill, ["PAID", "PAID"]),
                Action::Pay { bill, .. } => (bill, ["PAID", "REFUNDED"]),
                Action::Refund { bill, .. } => (bill, ["REFUNDED", "REFUNDED"]),
                _ => continue,
            };
            let state = bills.get(&bill).map_or("not there", |row| row.state.as_str());
            if !wanted.contains(&state) {
                let what = format!("{:?} of bill {bill} was acknowledged and it is {state}", operation.action);
                self.says(findings, Invariant::I1, what);
            }
        }
        if answers.len() > 1 {
            self.says(findings, Invariant::I7, format!("one payment has two answers: {answers:?}"));
        }
    }

    /// What was acknowledged is seen by whoever asks afterwards.
    fn check_reads(&self, findings: &mut Findings) {
        for read in self.operations.iter().filter(|operation| matches!(operation.action, Action::Read { .. })) {
            let was_reserved =
                self.reserves().any(|reserve| reserve.outcome.ok_with(201).is_some() && reserve.came_before(read));
            if was_reserved && matches!(read.outcome, Outcome::Refused { status: 404, .. }) {
                self.says(findings, Invariant::I1, format!("request {} did not find it", read.number));
            }
            let was_canceled = self.cancels().any(|cancel| cancel.outcome.is_ok() && cancel.came_before(read));
            if was_canceled && read.outcome.ok_with(200).is_some_and(|body| body["state"] == "RESERVED") {
                self.says(findings, Invariant::I1, format!("request {} found it reserved after its end", read.number));
            }
        }
    }

    fn check_intrusion(&self, findings: &mut Findings) {
        for operation in &self.operations {
            let is_intruder = operation.action == Action::Intrude;
            if is_intruder && operation.outcome.is_ok() {
                self.says(findings, Invariant::I10, format!("request {}: a bad token was accepted", operation.number));
            }
            if !is_intruder && matches!(operation.outcome, Outcome::Refused { status: 401, .. }) {
                self.says(findings, Invariant::I10, format!("request {}: a good token was refused", operation.number));
            }
        }
    }
}

/// Links differ between the answer of a request and that of the reconciler, which nobody asked by an address.
fn answer_of(body: &serde_json::Value) -> String {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("_links");
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, operation, visit};
    use super::*;

    #[test]
    fn an_acknowledged_reservation_that_is_gone_or_cancelled_by_nobody_is_found() {
        let mut evidence = visit();
        evidence.reservations.clear();
        assert!(broken(&evidence).contains(&Invariant::I1));
        let mut evidence = visit();
        evidence.reservations[0].state = "CANCELED".to_owned();
        assert!(broken(&evidence).contains(&Invariant::I1));
        let mut evidence = visit();
        evidence.reservations[0].phone = "0103701".to_owned();
        assert!(broken(&evidence).contains(&Invariant::I1));
    }

    #[test]
    fn a_reservation_that_everyone_was_refused_is_found() {
        let mut evidence = visit();
        evidence.operations.retain(|operation| matches!(operation.action, Action::Reserve { .. }));
        evidence.operations[0].outcome = Outcome::of_answer(409, json!({"type": "urn:problem:visit-refused"}));
        assert!(broken(&evidence).contains(&Invariant::I1));
        evidence.operations[0].outcome = Outcome::of_answer(502, json!({}));
        assert!(!broken(&evidence).contains(&Invariant::I1), "nobody knows");
    }

    #[test]
    fn an_acknowledged_cancellation_without_effect_is_found() {
        let mut evidence = visit();
        evidence.operations.push(operation(10, Action::Cancel { reservation: 1 }, 204, json!(null)));
        assert!(broken(&evidence).contains(&Invariant::I1));
    }

    #[test]
    fn two_reservations_or_answers_for_one_key_are_found() {
        let mut evidence = visit();
        let mut twin = evidence.reservations[0].clone();
        twin.id = 2;
        evidence.reservations.push(twin);
        assert!(broken(&evidence).contains(&Invariant::I7));
        let mut evidence = visit();
        let mut again = evidence.operations[0].clone();
        again.outcome = Outcome::of_answer(201, json!({"id": 1, "reservationDate": "2031-12-24"}));
        evidence.operations.push(again);
        assert!(broken(&evidence).contains(&Invariant::I7));
    }

    #[test]
    fn a_date_that_was_overtaken_is_found_and_one_that_may_come_late_is_not() {
        let change = |at: u64, date: &str, status: u16| {
            let action = Action::ChangeDate { reservation: 1, date: date.to_owned() };
            operation(at, action, status, json!({}))
        };
        let mut evidence = visit();
        evidence.operations.push(change(10, "2031-01-01", 200));
        assert!(broken(&evidence).contains(&Invariant::I1), "the change was acknowledged");
        evidence.operations.pop();
        for status in [202, 502, 503, 409] {
            evidence.operations.push(change(10, "2031-01-01", status));
            assert!(!broken(&evidence).contains(&Invariant::I1), "{status}");
        }
    }

    #[test]
    fn a_payment_that_was_forgotten_is_found() {
        let mut evidence = visit();
        evidence.bills[0].state = "BILLED".to_owned();
        assert!(broken(&evidence).contains(&Invariant::I1));
    }

    #[test]
    fn a_payment_that_was_answered_twice_and_differently_is_found() {
        let mut evidence = visit();
        let pay =
            |at, paid_at: &str| operation(at, Action::Pay { reservation: 1, bill: 1 }, 200, json!({"paidAt": paid_at}));
        evidence.operations.retain(|operation| !matches!(operation.action, Action::Pay { .. }));
        evidence.operations.extend([pay(4, "10:00"), pay(6, "10:00")]);
        assert_eq!(broken(&evidence), []);
        evidence.operations.push(pay(8, "10:01"));
        assert_eq!(broken(&evidence), [Invariant::I7]);
    }

    #[test]
    fn a_read_that_misses_what_was_acknowledged_is_found() {
        let mut evidence = visit();
        evidence.operations.push(operation(20, Action::Read { reservation: 1 }, 404, json!({})));
        assert!(broken(&evidence).contains(&Invariant::I1));
    }

    #[test]
    fn a_bad_token_that_is_accepted_and_a_good_one_that_is_refused_are_found() {
        let mut evidence = visit();
        evidence.operations.push(operation(20, Action::Intrude, 200, json!({})));
        assert!(broken(&evidence).contains(&Invariant::I10));
        let mut evidence = visit();
        evidence.operations.push(operation(20, Action::Intrude, 401, json!({})));
        assert_eq!(broken(&evidence), []);
        evidence.operations.push(operation(20, Action::Read { reservation: 1 }, 401, json!({})));
        assert!(broken(&evidence).contains(&Invariant::I10));
    }
}

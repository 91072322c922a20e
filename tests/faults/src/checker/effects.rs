//! I2, I3, I4 and I8: what a reservation has brought about, and that nothing of it is left half done.

use std::collections::{HashMap, HashSet};

use super::{Findings, Invariant, grouped};
use crate::evidence::{Bill, Evidence, MedicalRecord, Reservation};
use crate::history::Action;

/// The kinds of event that a customer is told of.
const TOLD: [&str; 7] = [
    "ReservationReserved",
    "ReservationChanged",
    "ReservationCanceled",
    "Treated",
    "TreatmentFeeBilled",
    "TreatmentFeeAccepted",
    "TreatmentFeeCanceled",
];

pub fn check(evidence: &Evidence, findings: &mut Findings) {
    let reservations: HashMap<i64, &Reservation> = evidence.reservations.iter().map(|row| (row.id, row)).collect();
    let records = grouped(&evidence.records, |row| row.reservation_id);
    let bills = grouped(&evidence.bills, |row| row.reservation_id);
    check_records(&reservations, &records, findings);
    check_bills(evidence, &reservations, &records, &bills, findings);
    check_notices(evidence, findings);
    check_leftovers(evidence, findings);
}

fn check_records(
    reservations: &HashMap<i64, &Reservation>,
    records: &HashMap<i64, Vec<&MedicalRecord>>,
    findings: &mut Findings,
) {
    for reservation in reservations.values().filter(|row| row.state == "RESERVED") {
        let all = records.get(&reservation.id).map(Vec::as_slice).unwrap_or_default();
        let live: Vec<_> = all.iter().filter(|record| record.is_live()).collect();
        let [record] = live[..] else {
            let what = format!("it is confirmed and has {} live medical records", live.len());
            findings.about(Invariant::I2, reservation.id, what);
            continue;
        };
        if !record.is_confirmed || !record.is_held {
            findings.about(Invariant::I2, reservation.id, "diagnosis does not know that it is confirmed");
        }
        if record.date.as_deref() != Some(&reservation.date) {
            let what = format!("it is for {}, and its record for {:?}", reservation.date, record.date);
            findings.about(Invariant::I2, reservation.id, what);
        }
    }
    for (id, records) in records {
        if records.len() > 1 {
            findings.about(Invariant::I2, *id, format!("it has {} medical records", records.len()));
        }
        let state = reservations.get(id).map_or("not there", |row| row.state.as_str());
        if state != "RESERVED" && records.iter().any(|record| record.is_live()) {
            findings.about(Invariant::I2, *id, format!("it is {state} and has a live medical record"));
        }
    }
}

fn check_bills(
    evidence: &Evidence,
    reservations: &HashMap<i64, &Reservation>,
    records: &HashMap<i64, Vec<&MedicalRecord>>,
    bills: &HashMap<i64, Vec<&Bill>>,
    findings: &mut Findings,
) {
    let refunded: HashSet<i64> = evidence
        .operations
        .iter()
        .filter(|operation| operation.may_have_happened())
        .filter_map(|operation| match operation.action {
            Action::Refund { reservation, .. } => Some(reservation),
            _ => None,
        })
        .collect();
    for record in records.values().flatten().filter(|record| record.state == "TREATED") {
        let id = record.reservation_id;
        let all = bills.get(&id).map(Vec::as_slice).unwrap_or_default();
        let [bill] = all else {
            findings.about(Invariant::I3, id, format!("it is treated and has {} bills", all.len()));
            continue;
        };
        let is_given_back = refunded.contains(&id) && bill.state == "REFUNDED";
        if !bill.is_live() && !is_given_back {
            findings.about(Invariant::I3, id, format!("it is treated and its bill is {}", bill.state));
        }
    }
    for (id, bills) in bills {
        if bills.len() > 1 {
            findings.about(Invariant::I3, *id, format!("it has {} bills", bills.len()));
        }
        let is_live = bills.iter().any(|bill| bill.is_live());
        let is_treated = records.get(id).is_some_and(|records| records.iter().any(|row| row.state == "TREATED"));
        let state = reservations.get(id).map_or("not there", |row| row.state.as_str());
        if is_live && (!is_treated || state != "RESERVED") {
            findings.about(Invariant::I3, *id, format!("it is {state} and has a bill that is live"));
        }
    }
}

/// Each event that is told has its notice, and each notice its event; of a key in the order of its publisher.
fn check_notices(evidence: &Evidence, findings: &mut Findings) {
    let mut wanted: HashMap<(i64, &str, &str, i64), bool> = HashMap::new();
    for record in super::streams::events(evidence) {
        if TOLD.contains(&record.event_type) {
            let Ok(id) = record.key.parse() else { continue };
            wanted.insert((id, record.event_type, record.source, record.sequence), false);
        }
    }
    let mut last: HashMap<(i64, &str), i64> = HashMap::new();
    let mut notices: Vec<_> = evidence.notices.iter().collect();
    notices.sort_by_key(|notice| notice.id);
    for notice in notices.into_iter().filter(|notice| notice.source.starts_with('/')) {
        let id = notice.reservation_id;
        let what = format!("{} {} of {}", notice.kind, notice.sequence, notice.source);
        match wanted.get_mut(&(id, notice.kind.as_str(), notice.source.as_str(), notice.sequence)) {
            Some(told) if *told => findings.about(Invariant::I4, id, format!("it was told of {what} twice")),
            Some(told) => *told = true,
            None => findings.about(Invariant::I4, id, format!("it was told of {what}, which is no event")),
        }
        let before = last.insert((id, &notice.source), notice.sequence);
        if before.is_some_and(|before| before >= notice.sequence) {
            findings.about(Invariant::I4, id, format!("it was told of {what} after a later one"));
        }
    }
    for ((id, kind, source, sequence), _) in wanted.into_iter().filter(|(_, told)| !told) {
        findings.about(Invariant::I4, id, format!("it was not told of {kind} {sequence} of {source}"));
    }
}

fn check_leftovers(evidence: &Evidence, findings: &mut Findings) {
    for row in &evidence.reservations {
        if row.state == "PENDING" {
            findings.about(Invariant::I8, row.id, "it is still PENDING");
        }
        if row.has_open_change || row.settle_after.is_some() {
            findings.about(Invariant::I8, row.id, "it still waits for an answer of diagnosis");
        }
    }
    for id in &evidence.held_changes {
        findings.about(Invariant::I8, *id, "diagnosis still holds a second date for it");
    }
    for notice in evidence.notices.iter().filter(|row| !["SENT", "DELIVERED"].contains(&row.state.as_str())) {
        findings.about(Invariant::I8, notice.reservation_id, format!("its notice {} is {}", notice.id, notice.state));
    }
    for (service, rows) in evidence.unpublished.iter().filter(|(_, rows)| *rows > 0) {
        findings.general(Invariant::I8, format!("{rows} events wait in the outbox of {service}"));
    }
    for (service, key) in &evidence.unanswered_keys {
        findings.general(Invariant::I8, format!("{service} never answered the idempotency key {key}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, visit};
    use super::*;

    #[test]
    fn a_visit_as_it_should_be_breaks_nothing() {
        assert_eq!(super::super::check(&visit()), []);
    }

    #[test]
    fn a_confirmed_reservation_without_its_record_or_with_two_is_found() {
        let mut evidence = visit();
        evidence.records.clear();
        assert!(broken(&evidence).contains(&Invariant::I2));
        let mut evidence = visit();
        evidence.records.push(evidence.records[0].clone());
        assert!(broken(&evidence).contains(&Invariant::I2));
    }

    #[test]
    fn a_record_that_outlives_its_reservation_is_found() {
        for state in ["CANCELED", "REJECTED"] {
            let mut evidence = visit();
            evidence.reservations[0].state = state.to_owned();
            assert!(broken(&evidence).contains(&Invariant::I2), "{state}");
        }
        let mut evidence = visit();
        evidence.reservations.clear();
        assert!(broken(&evidence).contains(&Invariant::I2));
    }

    #[test]
    fn a_record_for_another_date_is_found() {
        let mut evidence = visit();
        evidence.records[0].date = Some("2031-01-01".to_owned());
        assert!(broken(&evidence).contains(&Invariant::I2));
    }

    #[test]
    fn a_treatment_without_its_bill_or_with_two_is_found() {
        let mut evidence = visit();
        evidence.bills.clear();
        assert!(broken(&evidence).contains(&Invariant::I3));
        let mut evidence = visit();
        evidence.bills.push(evidence.bills[0].clone());
        assert!(broken(&evidence).contains(&Invariant::I3));
        let mut evidence = visit();
        evidence.bills[0].state = "VOIDED".to_owned();
        assert!(broken(&evidence).contains(&Invariant::I3));
    }

    #[test]
    fn a_bill_that_outlives_its_reservation_is_found() {
        let mut evidence = visit();
        evidence.reservations[0].state = "CANCELED".to_owned();
        evidence.records[0].state = "CANCELED".to_owned();
        assert!(broken(&evidence).contains(&Invariant::I3));
    }

    #[test]
    fn a_change_that_is_told_twice_or_never_or_out_of_order_is_found() {
        let mut evidence = visit();
        let mut again = evidence.notices[0].clone();
        again.id = 99;
        evidence.notices.push(again);
        assert!(broken(&evidence).contains(&Invariant::I4));
        let mut evidence = visit();
        evidence.notices.remove(0);
        assert!(broken(&evidence).contains(&Invariant::I4));
        let mut evidence = visit();
        let first = evidence.notices.iter().position(|row| row.kind == "TreatmentFeeBilled").unwrap();
        evidence.notices[first].id = 100;
        assert!(broken(&evidence).contains(&Invariant::I4));
    }

    #[test]
    fn whatever_is_left_half_done_is_found() {
        let spoil: [fn(&mut Evidence); 8] = [
            |evidence| evidence.reservations[0].state = "PENDING".to_owned(),
            |evidence| evidence.reservations[0].has_open_change = true,
            |evidence| evidence.reservations[0].settle_after = Some(1),
            |evidence| evidence.held_changes.push(1),
            |evidence| evidence.notices[0].state = "WAITING".to_owned(),
            |evidence| evidence.notices[0].state = "FAILED".to_owned(),
            |evidence| evidence.unpublished.push(("reservation".to_owned(), 1)),
            |evidence| evidence.unanswered_keys.push(("reservation".to_owned(), "k".to_owned())),
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut evidence = visit();
            spoil(&mut evidence);
            assert!(broken(&evidence).contains(&Invariant::I8), "{number}");
        }
    }
}

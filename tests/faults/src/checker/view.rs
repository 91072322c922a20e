//! I5: lookup's row of a reservation says what the services themselves have in their databases.

use std::collections::HashMap;

use serde_json::json;

use super::{Findings, Invariant, grouped, streams};
use crate::evidence::{Bill, Evidence, MedicalRecord, Reservation, View};

/// What outranks what in the view's state.
const RANKS: [&str; 7] = ["RESERVED", "CHANGED", "TREATED", "BILLED", "PAID", "FEE_CANCELED", "CANCELED"];

pub fn check(evidence: &Evidence, findings: &mut Findings) {
    let reservations: HashMap<i64, &Reservation> = evidence.reservations.iter().map(|row| (row.id, row)).collect();
    let records: HashMap<i64, &MedicalRecord> = evidence.records.iter().map(|row| (row.reservation_id, row)).collect();
    let bills: HashMap<i64, &Bill> = evidence.bills.iter().map(|row| (row.reservation_id, row)).collect();
    let views: HashMap<i64, &View> = evidence.views.iter().map(|row| (row.reservation_id, row)).collect();
    let told = types_by_source(evidence);

    for reservation in reservations.values().filter(|row| row.events > 0) {
        let Some(view) = views.get(&reservation.id) else {
            findings.about(Invariant::I5, reservation.id, "lookup does not know of it");
            continue;
        };
        let has_changed = told
            .get(&(reservation.id, "/reservation"))
            .is_some_and(|types| types.contains(&"ReservationChanged") && reservation.state == "RESERVED");
        let wanted = fold(reservation, has_changed, records.get(&reservation.id), bills.get(&reservation.id));
        if **view != wanted {
            let what = format!("lookup differs from the services: {}", differences(view, &wanted));
            findings.about(Invariant::I5, reservation.id, what);
        }
    }
    for id in views.keys().filter(|id| !reservations.contains_key(id) && !is_foreign(evidence, **id)) {
        findings.about(Invariant::I5, *id, "lookup knows of it, and reservation does not");
    }
    check_history(evidence, &told, findings);
    check_counts(evidence, findings);
}

/// The row that follows from what each service has in its own database.
fn fold(reservation: &Reservation, has_changed: bool, record: Option<&&MedicalRecord>, bill: Option<&&Bill>) -> View {
    let own = match reservation.state.as_str() {
        "RESERVED" if has_changed => "CHANGED",
        // A rejection after 202 is told as a cancellation.
        "REJECTED" => "CANCELED",
        state => state,
    };
    let treatment = record.filter(|record| record.events > 0).map(|record| match record.state.as_str() {
        "CANCELED" => "TREATMENT_CANCELED",
        state => state,
    });
    let payment = bill.filter(|bill| bill.version > 0).map(|bill| match bill.state.as_str() {
        "VOIDED" | "REFUNDED" => "FEE_CANCELED",
        state => state,
    });
    let rank = |state: &&str| RANKS.iter().position(|rank| rank == state);
    let state = [Some(own), treatment, payment].into_iter().flatten().filter(|state| rank(state).is_some());
    let counted = |events: Option<i64>| events.unwrap_or(0);
    View {
        reservation_id: reservation.id,
        version: reservation.events
            + counted(record.map(|record| record.events))
            + counted(bill.map(|bill| bill.version)),
        name: Some(reservation.name.clone()),
        phone: Some(reservation.phone.clone()),
        date: Some(reservation.date.clone()),
        fee: bill.filter(|bill| bill.version > 0).map(|bill| bill.fee),
        reservation: Some(own.to_owned()),
        treatment: treatment.map(str::to_owned),
        payment: payment.map(str::to_owned),
        state: state.max_by_key(rank).map(str::to_owned),
    }
}

/// Each field that is not as it should be.
fn differences(view: &View, wanted: &View) -> String {
    let (view, wanted) = (json!(view), json!(wanted));
    let fields = view.as_object().into_iter().flatten().filter(|(name, value)| wanted[*name] != **value);
    let told: Vec<String> = fields.map(|(name, value)| format!("{name} {value} instead of {}", wanted[name])).collect();
    told.join(", ")
}

/// A key that a case has made up.
fn is_foreign(evidence: &Evidence, id: i64) -> bool {
    let key = id.to_string();
    evidence
        .topic
        .iter()
        .any(|record| record.key.as_deref() == Some(&key) && evidence.expected.foreign.contains(&record.position()))
}

/// The types of a reservation's events in their order, by publisher.
fn types_by_source(evidence: &Evidence) -> HashMap<(i64, &str), Vec<&str>> {
    let mut types: HashMap<(i64, &str), Vec<&str>> = HashMap::new();
    for event in streams::events(evidence) {
        if let Ok(id) = event.key.parse() {
            types.entry((id, event.source)).or_default().push(event.event_type);
        }
    }
    types
}

fn publisher(event_type: &str) -> &'static str {
    match event_type {
        "Treated" | "TreatmentCanceled" => "/diagnosis",
        "TreatmentFeeBilled" | "TreatmentFeeAccepted" | "TreatmentFeeCanceled" => "/acceptance",
        _ => "/reservation",
    }
}

/// The history of a row has every event once, those of one publisher in its order.
fn check_history(evidence: &Evidence, told: &HashMap<(i64, &str), Vec<&str>>, findings: &mut Findings) {
    let mut histories = grouped(&evidence.view_events, |row| row.reservation_id);
    let mut shown: HashMap<(i64, &str), Vec<&str>> = HashMap::new();
    for (id, history) in &mut histories {
        if is_foreign(evidence, *id) {
            continue;
        }
        history.sort_by_key(|row| row.version);
        for row in history {
            shown.entry((*id, publisher(&row.event_type))).or_default().push(&row.event_type);
        }
    }
    for (stream, types) in told {
        let seen = shown.remove(stream).unwrap_or_default();
        if seen != *types {
            let what = format!("lookup has taken in {seen:?} of {}, which published {types:?}", stream.1);
            findings.about(Invariant::I5, stream.0, what);
        }
    }
    for (stream, types) in shown {
        findings.about(Invariant::I5, stream.0, format!("lookup has taken in {types:?}, which nobody published"));
    }
}

fn check_counts(evidence: &Evidence, findings: &mut Findings) {
    let mut counted: HashMap<&str, i64> = HashMap::new();
    for (state, rows) in &evidence.view_counts {
        *counted.entry(state).or_default() += rows;
    }
    for view in &evidence.views {
        *counted.entry(view.state.as_deref().unwrap_or_default()).or_default() -= 1;
    }
    for (state, surplus) in counted.into_iter().filter(|(_, surplus)| *surplus != 0) {
        findings.general(Invariant::I5, format!("lookup counts {surplus} rows in state {state:?} that are not there"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, visit};
    use super::*;

    #[test]
    fn a_view_that_differs_from_its_sources_is_found() {
        let spoil: [fn(&mut Evidence); 8] = [
            |evidence| evidence.views.clear(),
            |evidence| evidence.views[0].version += 1,
            |evidence| evidence.views[0].date = None,
            |evidence| evidence.views[0].payment = Some("BILLED".to_owned()),
            |evidence| evidence.views[0].state = Some("RESERVED".to_owned()),
            |evidence| evidence.view_events.truncate(1),
            // The history backwards.
            |evidence| evidence.view_events.iter_mut().for_each(|row| row.version = -row.version),
            |evidence| evidence.view_counts[0].1 += 1,
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut evidence = visit();
            spoil(&mut evidence);
            assert!(broken(&evidence).contains(&Invariant::I5), "{number}");
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let view = View { version: 15, fee: Some(10), ..View::default() };
        let wanted = View { version: 5, ..view.clone() };
        assert_eq!(differences(&view, &wanted), "version 15 instead of 5");
    }

    #[test]
    fn a_cancelled_and_refunded_visit_stays_cancelled_in_the_view() {
        let reservation = Reservation { id: 1, state: "CANCELED".to_owned(), events: 2, ..Reservation::default() };
        let record = MedicalRecord { state: "CANCELED".to_owned(), events: 2, ..MedicalRecord::default() };
        let bill = Bill { state: "REFUNDED".to_owned(), version: 3, fee: 10, ..Bill::default() };
        let view = fold(&reservation, true, Some(&&record), Some(&&bill));
        assert_eq!((view.state.as_deref(), view.version), (Some("CANCELED"), 7));
        assert_eq!(view.payment.as_deref(), Some("FEE_CANCELED"));
        assert_eq!(view.treatment.as_deref(), Some("TREATMENT_CANCELED"));
    }
}

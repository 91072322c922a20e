//! I4: what can happen to a visit only once has happened once, and only what somebody wanted. A service that tells a
//! change twice counts both, so that its rows, its topic and the view agree with each other.

use std::collections::HashMap;

use super::{Findings, Invariant, streams};
use crate::evidence::Evidence;
use crate::history::{Action, Operation};

/// The kinds of event that a visit has once at most.
const ONCE: [&str; 7] = [
    "ReservationReserved",
    "ReservationCanceled",
    "Treated",
    "TreatmentCanceled",
    "TreatmentFeeBilled",
    "TreatmentFeeAccepted",
    "TreatmentFeeCanceled",
];

/// How often clients may have brought something about.
#[derive(Clone, Copy, Default)]
struct Wanted {
    changes: usize,
    payments: usize,
}

pub fn check(evidence: &Evidence, findings: &mut Findings) {
    let mut published: HashMap<(i64, &str), usize> = HashMap::new();
    for event in streams::events(evidence) {
        let Ok(id) = event.key.parse() else { continue };
        *published.entry((id, event.event_type)).or_default() += 1;
    }
    let by_visit = wanted(&evidence.operations);
    for ((id, kind), times) in &published {
        let Wanted { changes, payments } = by_visit.get(id).copied().unwrap_or_default();
        if ONCE.contains(kind) && *times > 1 {
            findings.about(Invariant::I4, *id, format!("{kind} was published {times} times"));
        }
        if *kind == "ReservationChanged" && *times > changes {
            let what = format!("{times} changes of its date were published, and {changes} may have come about");
            findings.about(Invariant::I4, *id, what);
        }
        if *kind == "TreatmentFeeAccepted" && payments == 0 {
            findings.about(Invariant::I4, *id, "it was paid, and nobody's payment may have come about");
        }
    }
}

fn wanted(operations: &[Operation]) -> HashMap<i64, Wanted> {
    let mut wanted: HashMap<i64, Wanted> = HashMap::new();
    for operation in operations.iter().filter(|operation| operation.may_have_happened()) {
        match operation.action {
            Action::ChangeDate { reservation, .. } => wanted.entry(reservation).or_default().changes += 1,
            Action::Pay { reservation, .. } => wanted.entry(reservation).or_default().payments += 1,
            _ => {}
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, operation, visit};
    use super::*;
    use crate::evidence::{Notice, Record, ViewEvent};

    /// Another event of the visit, told, taken in and shown like every other.
    fn with_another(event_type: &str) -> Evidence {
        let mut evidence = visit();
        let first = evidence.topic[0].clone();
        let (offset, sequence) = (10, 2);
        evidence.topic.push(Record {
            offset,
            sequence: Some(sequence),
            event_type: Some(event_type.to_owned()),
            ..first
        });
        evidence.reservations[0].events = sequence;
        let notice = evidence.notices[0].clone();
        let kind = event_type.to_owned();
        evidence.notices.push(Notice { id: 10, sequence, kind, state: "SENT".to_owned(), ..notice });
        let places = evidence.places.iter_mut().filter(|place| place.source == "/reservation");
        places.for_each(|place| place.sequence = sequence);
        evidence.views[0].version += 1;
        let event_type = event_type.to_owned();
        evidence.view_events.push(ViewEvent { reservation_id: 1, version: 5, event_type });
        evidence
    }

    #[test]
    fn a_change_that_was_published_twice_is_found_though_everybody_agrees() {
        assert_eq!(broken(&with_another("ReservationReserved")), [Invariant::I4]);
    }

    #[test]
    fn a_change_of_date_that_nobody_wanted_is_found() {
        let mut evidence = with_another("ReservationChanged");
        evidence.views[0].reservation = Some("CHANGED".to_owned());
        assert_eq!(broken(&evidence), [Invariant::I4]);
        let date = evidence.reservations[0].date.clone();
        evidence.operations.push(operation(10, Action::ChangeDate { reservation: 1, date }, 200, json!({})));
        assert_eq!(broken(&evidence), []);
    }

    #[test]
    fn a_payment_that_nobody_made_is_found() {
        let mut evidence = visit();
        evidence.operations.retain(|operation| !matches!(operation.action, Action::Pay { .. }));
        assert_eq!(broken(&evidence), [Invariant::I4]);
    }
}

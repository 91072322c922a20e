//! The evidence of one visit that went well, to be spoilt by tests.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Invariant, check};
use crate::evidence::{Bill, Evidence, MedicalRecord, Notice, Place, Post, Record, Reservation, View, ViewEvent};
use crate::history::{Action, Operation, Outcome};

const NAME: &str = "Someone";
const PHONE: &str = "010-9000-0001";
const DATE: &str = "2030-05-01";

pub fn operation(at: u64, action: Action, status: u16, body: Value) -> Operation {
    Operation {
        number: at as usize,
        client: "1".to_owned(),
        visit: NAME.to_owned(),
        action,
        key: None,
        invoked: Duration::from_millis(at),
        ended: Some(Duration::from_millis(at + 1)),
        outcome: Outcome::of_answer(status, body),
    }
}

/// Reserved, treated, billed and paid.
pub fn visit() -> Evidence {
    let events = [
        ("/reservation", 1, "ReservationReserved"),
        ("/diagnosis", 1, "Treated"),
        ("/acceptance", 1, "TreatmentFeeBilled"),
        ("/acceptance", 2, "TreatmentFeeAccepted"),
    ];
    let text = |text: &str| Some(text.to_owned());
    let mut evidence = Evidence {
        operations: vec![
            operation(0, Action::Reserve { date: DATE.to_owned(), phone: PHONE.to_owned() }, 201, json!({"id": 1})),
            operation(4, Action::Pay { reservation: 1, bill: 1 }, 200, json!({})),
        ],
        reservations: vec![Reservation {
            id: 1,
            state: "RESERVED".to_owned(),
            name: NAME.to_owned(),
            date: DATE.to_owned(),
            phone: PHONE.to_owned(),
            events: 1,
            ..Reservation::default()
        }],
        records: vec![MedicalRecord {
            reservation_id: 1,
            is_held: true,
            date: text(DATE),
            state: "TREATED".to_owned(),
            is_confirmed: true,
            events: 1,
        }],
        bills: vec![Bill { id: 1, reservation_id: 1, state: "PAID".to_owned(), fee: 10_000, version: 2 }],
        views: vec![View {
            reservation_id: 1,
            version: 4,
            name: text(NAME),
            phone: text(PHONE),
            date: text(DATE),
            fee: Some(10_000),
            reservation: text("RESERVED"),
            treatment: text("TREATED"),
            payment: text("PAID"),
            state: text("PAID"),
        }],
        view_counts: vec![("PAID".to_owned(), 1)],
        ..Evidence::default()
    };
    evidence.expected.consumers = ["diagnosis", "acceptance", "notice", "lookup"].map(str::to_owned).to_vec();
    for (place, (source, sequence, event_type)) in (0..).zip(events) {
        evidence.topic.push(Record {
            partition: 0,
            offset: place,
            key: text("1"),
            source: text(source),
            sequence: Some(sequence),
            event_type: text(event_type),
            payload: format!("{{\"n\":{place}}}").into_bytes(),
        });
        evidence.notices.push(Notice {
            id: place,
            reservation_id: 1,
            kind: event_type.to_owned(),
            source: source.to_owned(),
            sequence,
            state: "DELIVERED".to_owned(),
        });
        let body = json!({"reservationId": 1, "kind": event_type, "text": "as it is"});
        evidence.posts.push(Post { key: format!("notice-{place}"), body });
        let event_type = event_type.to_owned();
        evidence.view_events.push(ViewEvent { reservation_id: 1, version: place + 1, event_type });
    }
    for service in evidence.expected.consumers.clone() {
        for (source, sequence) in [("/reservation", 1), ("/diagnosis", 1), ("/acceptance", 2)] {
            let (service, source) = (service.clone(), source.to_owned());
            evidence.places.push(Place { service, source, key: "1".to_owned(), sequence });
        }
    }
    evidence
}

/// The invariants that are broken, each once.
pub fn broken(evidence: &Evidence) -> Vec<Invariant> {
    let mut invariants: Vec<Invariant> = check(evidence).into_iter().map(|violation| violation.invariant).collect();
    invariants.dedup();
    invariants
}

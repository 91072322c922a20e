//! The fold alone: whatever the order between publishers, the row is the same.

use contracts::Event;
use lookup::domain::{State, Stats, apply, happened_at};
use serde_json::Value;

use crate::harness::{fee_event, interleavings, reservation_event, treatment_event};

fn event(payload: Value) -> Event {
    serde_json::from_value(payload).unwrap()
}

fn reservation(kinds: &[&str]) -> Vec<Event> {
    let dates = ["2020-05-01", "2020-05-02", "2020-05-03", "2020-05-04"];
    kinds.iter().zip(dates).map(|(kind, date)| event(reservation_event(kind, 1, date, "customer-1"))).collect()
}

fn diagnosis(kinds: &[&str]) -> Vec<Event> {
    kinds.iter().map(|kind| event(treatment_event(kind, 1))).collect()
}

fn acceptance(kinds: &[&str]) -> Vec<Event> {
    kinds.iter().zip([10000, 12000, 12000]).map(|(kind, fee)| event(fee_event(kind, 1, fee))).collect()
}

fn folded(events: &[Event]) -> Stats {
    let mut stats = Stats { reservation_id: 1, ..Stats::default() };
    for event in events {
        let before = stats.state;
        apply(&mut stats, event, happened_at(event, None));
        assert!(stats.state >= before, "went back from {before:?} to {:?} in {events:?}", stats.state);
    }
    stats
}

/// Every interleaving of the story ends in the same row, which is returned.
fn ends_alike(streams: &[Vec<Event>]) -> Stats {
    let orders = interleavings(streams);
    let first = folded(&orders[0]);
    for order in &orders {
        let names: Vec<_> = order.iter().map(Event::name).collect();
        assert_eq!(folded(order), first, "{names:?}");
    }
    first
}

#[test]
fn a_visit_that_was_changed_and_paid_ends_alike_in_every_order() {
    let stats = ends_alike(&[
        reservation(&["ReservationReserved", "ReservationChanged", "ReservationChangeAbandoned", "ReservationChanged"]),
        diagnosis(&["Treated"]),
        acceptance(&["TreatmentFeeBilled", "TreatmentFeeAccepted"]),
    ]);
    assert_eq!(stats.state.and_then(State::label), Some("수납 완료"));
    assert_eq!(stats.reservation_date.as_deref(), Some("2020-05-04"));
    assert_eq!((stats.doctor.as_deref(), stats.fee, stats.version), (Some("Brad pitt"), Some(12000), 7));
}

#[test]
fn a_visit_that_was_cancelled_and_refunded_stays_cancelled_in_every_order() {
    let stats = ends_alike(&[
        reservation(&["ReservationReserved", "ReservationChanged", "ReservationCanceled"]),
        diagnosis(&["Treated", "TreatmentCanceled"]),
        acceptance(&["TreatmentFeeBilled", "TreatmentFeeAccepted", "TreatmentFeeCanceled"]),
    ]);
    assert_eq!(stats.state.and_then(State::label), Some("예약 취소"));
    assert_eq!(stats.payment, Some(State::FeeCanceled));
    assert_eq!(stats.treatment, Some(State::TreatmentCanceled));
}

#[test]
fn a_refund_of_a_reservation_that_stands_is_its_state() {
    let stats = ends_alike(&[
        reservation(&["ReservationReserved"]),
        diagnosis(&["Treated"]),
        acceptance(&["TreatmentFeeBilled", "TreatmentFeeAccepted", "TreatmentFeeCanceled"]),
    ]);
    assert_eq!(stats.state.and_then(State::label), Some("환불/취소"));
}

#[test]
fn a_fee_that_was_paid_without_a_bill_counts_as_paid() {
    let stats = ends_alike(&[
        reservation(&["ReservationReserved"]),
        diagnosis(&["Treated"]),
        acceptance(&["TreatmentFeeAccepted"]),
    ]);
    assert_eq!(stats.state.and_then(State::label), Some("수납 완료"));
    assert_eq!(stats.fee, Some(10000));
}

#[test]
fn each_event_has_its_label() {
    let labels = [
        ("ReservationReserved", Some("예약 완료")),
        ("ReservationChanged", Some("예약 변경")),
        ("ReservationCanceled", Some("예약 취소")),
        ("ReservationChangeAbandoned", None),
        ("Treated", Some("진료 완료")),
        ("TreatmentCanceled", None),
        ("TreatmentFeeBilled", Some("수납 대기")),
        ("TreatmentFeeAccepted", Some("수납 완료")),
        ("TreatmentFeeCanceled", Some("환불/취소")),
    ];
    for (kind, label) in labels {
        assert_eq!(State::of_event_type(kind).and_then(State::label), label, "{kind}");
    }
}

#[test]
fn a_late_reservation_event_does_not_bring_old_fields_back() {
    let mut events = reservation(&["ReservationReserved", "ReservationChanged"]);
    events.swap(0, 1);
    let stats = folded(&events);
    assert_eq!(stats.reservation_date.as_deref(), Some("2020-05-02"));
    assert_eq!(stats.state, Some(State::Changed));
}

#[test]
fn fields_that_were_emptied_are_empty_and_the_owner_stays() {
    let mut events = reservation(&["ReservationReserved"]);
    events.push(event(serde_json::json!({"eventType": "ReservationChanged", "id": 1, "reservatorName": "Put",
        "reservationDate": null, "phoneNumber": null})));
    let stats = folded(&events);
    assert_eq!((stats.reservator_name.as_deref(), stats.phone_number), (Some("Put"), None));
    assert_eq!(stats.customer_id.as_deref(), Some("customer-1"));
}

#[test]
fn an_event_happened_when_its_headers_or_its_timestamp_say() {
    let treated = event(treatment_event("Treated", 1));
    let second = happened_at(&treated, None).unwrap();
    assert_eq!(jiff::Timestamp::from_millisecond(second).unwrap().to_string(), "2026-11-21T09:00:01Z");
    assert_eq!(happened_at(&treated, Some("2026-11-21T09:00:01.250Z")), Some(second + 250));
    assert_eq!(happened_at(&treated, Some("soon")), Some(second));
    let timeless = event(serde_json::json!({"eventType": "ReservationReserved", "id": 1}));
    assert_eq!(happened_at(&timeless, None), None);
}

//! What the original published is read by ours, oddities included; what ours publish has every field that the
//! original's consumers read.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use contracts::Event;
use serde_json::Value;

const ORIGINAL: &str = include_str!("../golden/original/events.jsonl");

fn recorded() -> impl Iterator<Item = String> {
    ORIGINAL.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["value"].as_str().unwrap().to_owned()
    })
}

#[test]
fn every_recorded_event_of_the_original_is_read_with_its_reservation() {
    let mut read = 0;
    for payload in recorded() {
        let event: Event = serde_json::from_str(&payload).unwrap_or_else(|error| panic!("{error}: {payload}"));
        assert_ne!(event, Event::Unknown, "{payload}");
        assert!(event.reservation_id().is_some(), "{payload}");
        read += 1;
    }
    assert_eq!(read, 56);
}

#[test]
fn an_event_of_a_later_version_is_unknown_and_no_error() {
    let event: Event = serde_json::from_str(r#"{"eventType":"PetAdopted","id":1,"new":{"field":true}}"#).unwrap();
    assert_eq!(event, Event::Unknown);
}

/// Every example is one event: it reads back to the same bytes, so it is exactly what ours publish.
#[test]
fn every_example_is_what_our_services_write() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let event: Event = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(serde_json::to_string(&event).unwrap(), text.trim_end(), "{}", path.display());
        seen.push(event.name());
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "ReservationCanceled",
            "ReservationChangeAbandoned",
            "ReservationChanged",
            "ReservationReserved",
            "Treated",
            "TreatmentCanceled",
            "TreatmentFeeAccepted",
            "TreatmentFeeBilled",
            "TreatmentFeeCanceled"
        ]
    );
}

//! I6 and I9: the topic, how far each consumer has come in it, and what was parked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Findings, Invariant};
use crate::evidence::{Evidence, Position, Record};

/// An event of one of our services.
pub struct Event<'a> {
    pub source: &'a str,
    pub key: &'a str,
    pub sequence: i64,
    pub event_type: &'a str,
    pub payload: &'a [u8],
}

type Stream<'a> = (&'a str, &'a str);

/// Every event of the fleet once, in the order of each stream; what a case has put in by hand is left out.
pub fn events(evidence: &Evidence) -> Vec<Event<'_>> {
    let mut last: HashMap<Stream<'_>, i64> = HashMap::new();
    let mut events = Vec::new();
    for event in published(evidence) {
        let place = last.entry((event.source, event.key)).or_default();
        if event.sequence > *place {
            *place = event.sequence;
            events.push(event);
        }
    }
    events
}

/// All that our services have published, duplicates too, by partition and offset.
fn published(evidence: &Evidence) -> impl Iterator<Item = Event<'_>> {
    let mut records: Vec<&Record> =
        evidence.topic.iter().filter(|record| !evidence.expected.foreign.contains(&record.position())).collect();
    records.sort_by_key(|record| record.position());
    records.into_iter().filter_map(|record| {
        Some(Event {
            source: record.source.as_deref()?,
            key: record.key.as_deref()?,
            sequence: record.sequence?,
            event_type: record.event_type.as_deref()?,
            payload: &record.payload,
        })
    })
}

pub fn check(evidence: &Evidence, findings: &mut Findings) {
    let ends = check_topic(evidence, findings);
    check_counts(evidence, &ends, findings);
    check_places(evidence, &ends, findings);
    check_parked(evidence, findings);
}

/// Each stream counts 1, 2, 3 …, whatever is repeated; gives where each ends.
fn check_topic<'a>(evidence: &'a Evidence, findings: &mut Findings) -> BTreeMap<Stream<'a>, i64> {
    let mut ends: BTreeMap<Stream<'_>, i64> = BTreeMap::new();
    let mut contents: HashMap<(Stream<'_>, i64), &[u8]> = HashMap::new();
    for event in published(evidence) {
        let stream = (event.source, event.key);
        let name = format!("{} {} of {}", event.event_type, event.sequence, event.source);
        let known = contents.entry((stream, event.sequence)).or_insert(event.payload);
        if *known != event.payload {
            about(findings, event.key, format!("{name} was published with two contents"));
        }
        let end = ends.entry(stream).or_default();
        if event.sequence > *end + 1 {
            about(findings, event.key, format!("{name} was published when only {end} were before it"));
        }
        *end = event.sequence.max(*end);
    }
    ends
}

/// What each service counts is what it has published, and nothing else is in the topic.
fn check_counts(evidence: &Evidence, ends: &BTreeMap<Stream<'_>, i64>, findings: &mut Findings) {
    let mut counted: BTreeMap<(&str, String), i64> = BTreeMap::new();
    for row in evidence.reservations.iter().filter(|row| row.events > 0) {
        counted.insert(("/reservation", row.id.to_string()), row.events);
    }
    for row in evidence.records.iter().filter(|row| row.events > 0) {
        counted.insert(("/diagnosis", row.reservation_id.to_string()), row.events);
    }
    for row in evidence.bills.iter().filter(|row| row.version > 0) {
        counted.insert(("/acceptance", row.reservation_id.to_string()), row.version);
    }
    for ((source, key), count) in &counted {
        let end = ends.get(&(*source, key.as_str())).copied().unwrap_or(0);
        if end != *count {
            about(findings, key, format!("{source} counts {count} events of it, and the topic {end}"));
        }
    }
    for (source, key) in ends.keys() {
        if !counted.contains_key(&(*source, (*key).to_owned())) {
            about(findings, key, format!("the topic has events of {source} that it does not know of"));
        }
    }
}

fn check_places(evidence: &Evidence, ends: &BTreeMap<Stream<'_>, i64>, findings: &mut Findings) {
    let places: HashMap<(&str, Stream<'_>), i64> = evidence
        .places
        .iter()
        .map(|place| ((place.service.as_str(), (place.source.as_str(), place.key.as_str())), place.sequence))
        .collect();
    for service in &evidence.expected.consumers {
        for (stream, end) in ends {
            let place = places.get(&(service.as_str(), *stream)).copied().unwrap_or(0);
            if place != *end {
                let what = format!("{service} has taken in {place} of the {end} events of {}", stream.0);
                about(findings, stream.1, what);
            }
        }
    }
}

fn check_parked(evidence: &Evidence, findings: &mut Findings) {
    let mut parked: BTreeMap<&str, BTreeSet<Position>> =
        evidence.expected.consumers.iter().map(|service| (service.as_str(), BTreeSet::new())).collect();
    for letter in &evidence.parked {
        let position = (letter.partition, letter.offset);
        if !evidence.expected.poison.contains(&position) {
            let what = format!(
                "{} parked partition {} offset {}, key {}: {}",
                letter.service, letter.partition, letter.offset, letter.key, letter.reason
            );
            findings.general(Invariant::I9, what);
        }
        if letter.reason.trim().is_empty() {
            let what =
                format!("{} parked partition {} offset {} without a reason", letter.service, position.0, position.1);
            findings.general(Invariant::I9, what);
        }
        parked.entry(&letter.service).or_default().insert(position);
    }
    for (service, parked) in parked {
        for (partition, offset) in evidence.expected.poison.difference(&parked) {
            let what = format!("{service} did not park partition {partition} offset {offset}");
            findings.general(Invariant::I9, what);
        }
    }
}

fn about(findings: &mut Findings, key: &str, what: String) {
    match key.parse() {
        Ok(id) => findings.about(Invariant::I6, id, what),
        Err(_) => findings.general(Invariant::I6, format!("key {key}: {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, visit};
    use super::*;
    use crate::evidence::Parked;

    #[test]
    fn an_event_that_is_repeated_breaks_nothing() {
        let mut evidence = visit();
        let mut again = evidence.topic[0].clone();
        again.offset = 100;
        evidence.topic.push(again);
        assert_eq!(broken(&evidence), []);
    }

    #[test]
    fn a_lost_or_overtaken_event_is_found() {
        let mut evidence = visit();
        evidence.topic.remove(0);
        assert!(broken(&evidence).contains(&Invariant::I6));
        let mut evidence = visit();
        let (first, second) = two_of_one_stream(&evidence);
        let offset = evidence.topic[first].offset;
        evidence.topic[first].offset = evidence.topic[second].offset;
        evidence.topic[second].offset = offset;
        assert!(broken(&evidence).contains(&Invariant::I6));
    }

    fn two_of_one_stream(evidence: &Evidence) -> (usize, usize) {
        let of_bill: Vec<usize> = (0..evidence.topic.len())
            .filter(|index| evidence.topic[*index].source.as_deref() == Some("/acceptance"))
            .collect();
        (of_bill[0], of_bill[1])
    }

    #[test]
    fn an_event_without_its_change_is_found() {
        let mut evidence = visit();
        evidence.bills[0].version -= 1;
        assert!(broken(&evidence).contains(&Invariant::I6));
        let mut evidence = visit();
        let mut stray = evidence.topic[0].clone();
        (stray.key, stray.offset) = (Some("77".to_owned()), 77);
        evidence.topic.push(stray);
        assert!(broken(&evidence).contains(&Invariant::I6));
    }

    #[test]
    fn one_sequence_with_two_contents_is_found() {
        let mut evidence = visit();
        let mut other = evidence.topic[0].clone();
        (other.offset, other.payload) = (100, b"{}".to_vec());
        evidence.topic.push(other);
        assert!(broken(&evidence).contains(&Invariant::I6));
    }

    #[test]
    fn a_consumer_that_has_missed_an_event_is_found() {
        let mut evidence = visit();
        evidence.places[0].sequence -= 1;
        assert!(broken(&evidence).contains(&Invariant::I6));
    }

    #[test]
    fn parked_must_be_what_was_injected() {
        let (service, reason) = ("notice".to_owned(), "no JSON".to_owned());
        let letter = Parked { service, reason, partition: 0, offset: 200, ..Parked::default() };
        let mut evidence = visit();
        evidence.parked.push(letter.clone());
        assert_eq!(broken(&evidence), [Invariant::I9]);
        evidence.expected.poison.insert((0, 200));
        assert_eq!(broken(&evidence), [Invariant::I9], "the other consumers have not parked it");
        evidence.expected.consumers.clone().into_iter().filter(|service| service != "notice").for_each(|service| {
            evidence.parked.push(Parked { service, ..letter.clone() });
        });
        assert_eq!(broken(&evidence), []);
        evidence.parked[0].reason.clear();
        assert_eq!(broken(&evidence), [Invariant::I9]);
    }
}

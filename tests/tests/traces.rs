//! What can be seen of a reservation from the outside: one trace, from the gateway to the last notice.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;

use journeys::{Collector, Fleet, Span, eventually, jackson};
use reqwest::Client;

/// The trace that the client began.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn reserve_in(fleet: &Fleet, trace: &str, flags: &str) {
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-{flags}");
    let request = Client::new().post(format!("{}/reservations", fleet.gateway()));
    let answer = request.header("traceparent", traceparent).json(&jackson()).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

#[tokio::test]
async fn one_reservation_is_one_trace_from_the_gateway_to_the_notice() {
    let collector = Collector::start().await;
    let fleet = Fleet::start_with(&["--open"], &[("TELEMETRY_OTLP_ENDPOINT", &collector.endpoint)]).await;
    reserve_in(&fleet, TRACE, "01").await;

    let trace = eventually("the whole trace is collected", async || {
        let spans: Vec<Span> = collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
        let told = spans.iter().filter(|span| span.name == "send notice").count();
        let folded = spans.iter().filter(|span| span.service == "lookup" && span.name == "process animal").count();
        (told == 3 && folded == 3 && orphans(&spans).is_empty()).then_some(spans)
    })
    .await;
    let seen: BTreeSet<(&str, &str)> = trace.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
    for step in [
        ("gateway", "POST /reservations"),
        ("gateway", "POST reservation"),
        ("reservation", "POST /reservations"),
        ("reservation", "transaction"),
        ("reservation", "POST diagnosis"),
        ("reservation", "send animal"),
        ("diagnosis", "POST /medicalRecords"),
        ("diagnosis", "process animal"),
        ("diagnosis", "send animal"),
        ("acceptance", "process animal"),
        ("acceptance", "send animal"),
        ("lookup", "process animal"),
        ("notice", "process animal"),
        ("notice", "send notice"),
    ] {
        assert!(seen.contains(&step), "{step:?} is missing in {seen:#?}");
    }
    for span in &trace {
        assert!(!span.text.contains("Jackson") && !span.text.contains("1234-5678"), "personal: {}", span.text);
    }
}

/// Spans whose parent nobody has told of; the client's own is its business.
fn orphans(spans: &[Span]) -> Vec<&Span> {
    let known: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).chain(["00f067aa0ba902b7"]).collect();
    spans.iter().filter(|span| !span.parent.as_deref().is_some_and(|parent| known.contains(parent))).collect()
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_record_is_recorded_by_nobody() {
    let collector = Collector::start().await;
    let fleet = Fleet::start_with(&["--open"], &[("TELEMETRY_OTLP_ENDPOINT", &collector.endpoint)]).await;
    let unrecorded = TRACE.replace('4', "5");
    reserve_in(&fleet, &unrecorded, "00").await;
    fleet.without_token().until_label(1, "수납 대기").await;
    reserve_in(&fleet, TRACE, "01").await;
    eventually("the later trace is there", async || {
        let spans = collector.spans();
        spans.iter().any(|span| span.trace == TRACE && span.name == "send notice").then_some(())
    })
    .await;
    assert!(!collector.spans().iter().any(|span| span.trace == unrecorded));
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let fleet = Fleet::start_with(&["--open"], &[("TELEMETRY_OTLP_ENDPOINT", "http://127.0.0.1:9")]).await;
    reserve_in(&fleet, TRACE, "01").await;
    fleet.without_token().until_label(1, "수납 대기").await;
    eventually("what is lost is counted", async || {
        fleet.metric("reservation", r#"otlp_spans_dropped_total{reason="not_taken"}"#).await.filter(|lost| *lost > 0.0)
    })
    .await;
}

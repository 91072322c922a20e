//! The figures that are measured when somebody asks.

use axum::http::Method;
use chassis::events::outbox::{self, NewEvent, append_in_tx};
use chassis::events::{Handler, HandlerError, consumer, dead_letter};
use chassis::testing::{self, Rig, request};
use chassis::{About, Clock, Db, DbError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;

const ABOUT: About = About { name: "test", version: "1.2.3", summary: "A test.", port: 8080, defaults: "" };

fn clock() -> Clock {
    Clock::fixed(testing::NOW.parse().unwrap())
}

/// The value of a series, written as the format has it.
fn value(recorder: &PrometheusRecorder, series: &str) -> Option<f64> {
    let rendered = recorder.handle().render();
    let line = rendered.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn publish(db: &Db, key: &str, at: i64) {
    let event = NewEvent { event_type: "Something", key: key.to_owned(), sequence: 1, payload: "{}".to_owned() };
    let written: Result<(), DbError> =
        db.write(move |tx| Box::pin(async move { append_in_tx(tx, &event, at).await })).await;
    written.unwrap();
}

#[tokio::test]
async fn the_outbox_tells_how_much_waits_and_for_how_long() {
    for db in testing::databases(&[]).await {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        outbox::measure(db.clone(), clock()).await;
        assert_eq!(value(&recorder, "outbox_waiting"), Some(0.0));
        assert_eq!(value(&recorder, "outbox_oldest_age_seconds"), Some(0.0));

        publish(&db, "a", clock().now_ms() - 7_500).await;
        publish(&db, "b", clock().now_ms() - 500).await;
        outbox::measure(db.clone(), clock()).await;
        assert_eq!(value(&recorder, "outbox_waiting"), Some(2.0));
        assert_eq!(value(&recorder, "outbox_oldest_age_seconds"), Some(7.5));
    }
}

#[tokio::test]
async fn parked_messages_are_counted_until_they_are_gone() {
    let refusing: Handler = std::sync::Arc::new(|_, _| Box::pin(async { Err(HandlerError::Poison("no".to_owned())) }));
    for db in testing::databases(&[]).await {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let messages = ["a", "b"].map(|key| testing::message("/test", key, 1, &json!({})));
        consumer::take_in(&db, &refusing, &messages.into()).await.unwrap();
        dead_letter::measure(db.clone()).await;
        assert_eq!(value(&recorder, "dead_letters"), Some(2.0));

        let letter = dead_letter::list(&db, None, 0, 1000).await.unwrap().remove(0);
        assert!(dead_letter::discard(&db, letter.id, "a test").await.unwrap());
        dead_letter::measure(db.clone()).await;
        assert_eq!(value(&recorder, "dead_letters"), Some(1.0));
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_down() {
    for db in testing::databases(&[]).await {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        db.clone().measure().await;
        assert_eq!(value(&recorder, "database_up"), Some(1.0));
        db.close().await;
        db.measure().await;
        assert_eq!(value(&recorder, "database_up"), Some(0.0));
    }
}

#[tokio::test]
async fn a_component_is_up_or_down_as_health_has_it() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let rig = Rig::new(ABOUT);
    let outbox = || value(&recorder, r#"component_up{component="outbox"}"#);
    rig.chassis.lifecycle.is_well("outbox");
    assert_eq!(outbox(), Some(1.0));
    rig.chassis.lifecycle.is_troubled("outbox", "the broker is away");
    assert_eq!(outbox(), Some(0.0));
    rig.chassis.lifecycle.is_well("outbox");
    assert_eq!(outbox(), Some(1.0));
}

#[tokio::test]
async fn every_scrape_measures_anew() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let rig = Rig::new(ABOUT);
    let service = rig.serve(OpenApiRouter::new());
    rig.chassis.measurements.add(async || metrics::gauge!("measured").increment(1.0));
    for times in [1.0, 2.0] {
        request(&service, Method::GET, "/metrics").send().await;
        assert_eq!(value(&recorder, "measured"), Some(times));
    }
}

#[tokio::test]
async fn a_method_that_nobody_knows_and_a_path_that_nobody_has_make_no_series_of_their_own() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let rig = Rig::new(ABOUT);
    let service = rig.serve(OpenApiRouter::new());
    for (method, path) in [("BREW", "/tea"), ("STEEP", "/coffee/1")] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(request(&service, method, path).send().await.status, 404);
    }
    let series = r#"http_server_request_duration_seconds_count{http_request_method="other",http_route="unmatched",http_response_status_code="404"}"#;
    assert_eq!(value(&recorder, series), Some(2.0));
}

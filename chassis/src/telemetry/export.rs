//! Sends ended spans to a collector: OTLP over HTTP, as JSON. A collector that is away costs spans and nothing else.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use super::span::{Record, Value};
use crate::config::Telemetry;
use crate::http::problem::chain;
use crate::{About, Lifecycle, SettingError};

/// Spans that wait; more are dropped and counted.
const QUEUE: usize = 4096;
const BATCH: usize = 512;
const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);

/// One for the process, as the metrics' recorder is.
static TRACER: OnceLock<Tracer> = OnceLock::new();

struct Tracer {
    sample_ratio: f64,
    ended: mpsc::Sender<Record>,
}

pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Whether a trace that begins here is recorded. All services would decide the same: the id alone decides.
pub fn samples(trace_id: u128) -> bool {
    TRACER.get().is_some_and(|tracer| is_within(trace_id, tracer.sample_ratio))
}

fn is_within(trace_id: u128, ratio: f64) -> bool {
    // The lower half is the part that the standard wants to be random.
    ratio >= 1.0 || ((trace_id as u64) as f64) < ratio * (u64::MAX as f64)
}

pub fn take(record: Record) {
    let Some(tracer) = TRACER.get() else { return };
    if tracer.ended.try_send(record).is_err() {
        dropped("queue_full", 1);
    }
}

fn dropped(reason: &'static str, spans: usize) {
    metrics::counter!("otlp_spans_dropped_total", "reason" => reason).increment(spans as u64);
}

/// Begins to export, where an endpoint is set.
pub fn start(about: About, lifecycle: &Lifecycle, settings: &Telemetry) -> Result<(), SettingError> {
    if !(0.0..=1.0).contains(&settings.sample_ratio) {
        return Err(SettingError::new("telemetry.sample_ratio", "must be between 0 and 1"));
    }
    if settings.otlp_endpoint.is_empty() {
        return Ok(());
    }
    let wrong = |problem: String| SettingError::new("telemetry.otlp_endpoint", problem);
    let url = format!("{}/v1/traces", settings.otlp_endpoint.trim_end_matches('/'));
    let url = reqwest::Url::parse(&url).map_err(|error| wrong(error.to_string()))?;
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| wrong(error.to_string()))?;
    let (ended, waiting) = mpsc::channel(QUEUE);
    if TRACER.set(Tracer { sample_ratio: settings.sample_ratio, ended }).is_err() {
        tracing::debug!("an exporter of spans was set up before");
        return Ok(());
    }
    let exporter = Exporter { http, url, resource: resource(about), lifecycle: lifecycle.clone() };
    lifecycle.spawn_background("traces", exporter.run(waiting));
    Ok(())
}

struct Exporter {
    http: reqwest::Client,
    url: reqwest::Url,
    resource: Json,
    lifecycle: Lifecycle,
}

impl Exporter {
    async fn run(self, mut waiting: mpsc::Receiver<Record>) -> Result<(), Infallible> {
        let mut is_last = false;
        while !is_last {
            is_last = tokio::select! {
                () = tokio::time::sleep(EVERY) => false,
                () = self.lifecycle.stopping() => true,
            };
            while let Some(batch) = next_batch(&mut waiting) {
                let sent = self.post(&batch).await;
                if sent.is_err() && is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn post(&self, batch: &[Record]) -> Result<(), reqwest::Error> {
        let document = document(&self.resource, batch);
        let answer = self.http.post(self.url.clone()).json(&document).send().await;
        let outcome = answer.and_then(reqwest::Response::error_for_status).map(|_| ());
        match &outcome {
            Ok(()) => {
                self.lifecycle.is_well("traces");
                metrics::counter!("otlp_spans_exported_total").increment(batch.len() as u64);
            }
            Err(error) => {
                self.lifecycle.is_troubled("traces", chain(error));
                dropped("not_taken", batch.len());
            }
        }
        outcome
    }
}

fn next_batch(waiting: &mut mpsc::Receiver<Record>) -> Option<Vec<Record>> {
    let batch: Vec<Record> = std::iter::from_fn(|| waiting.try_recv().ok()).take(BATCH).collect();
    (!batch.is_empty()).then_some(batch)
}

fn resource(about: About) -> Json {
    let instance = uuid::Uuid::new_v4().to_string();
    let attributes =
        [("service.name", about.name), ("service.version", about.version), ("service.instance.id", &instance)];
    let attributes = attributes.map(|(key, text)| attribute(key, &text.into()));
    json!({"attributes": attributes})
}

/// An `ExportTraceServiceRequest`.
fn document(resource: &Json, batch: &[Record]) -> Json {
    let spans: Vec<Json> = batch.iter().map(span).collect();
    let scope = json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]})
}

fn span(record: &Record) -> Json {
    const ERROR: u8 = 2;
    let attributes: Vec<Json> = record.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut span = json!({
        "traceId": format!("{:032x}", record.context.trace_id),
        "spanId": format!("{:016x}", record.context.span_id),
        "name": record.name,
        "kind": record.kind as u8,
        "startTimeUnixNano": nanos(record.started),
        "endTimeUnixNano": nanos(record.ended),
        "attributes": attributes,
    });
    if let Some(parent) = record.parent {
        span["parentSpanId"] = format!("{parent:016x}").into();
    }
    if record.failed {
        span["status"] = json!({"code": ERROR});
    }
    span
}

fn attribute(key: &str, value: &Value) -> Json {
    // Numbers of 64 bits are texts in this format.
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
    };
    json!({"key": key, "value": value})
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::trace::TraceContext;
    use crate::telemetry::span::Kind;

    fn record() -> Record {
        Record {
            context: TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap(),
            parent: Some(0xb7ad6b7169203331),
            kind: Kind::Client,
            name: "GET diagnosis".to_owned(),
            started: UNIX_EPOCH + Duration::from_nanos(1_544_712_660_000_000_001),
            ended: UNIX_EPOCH + Duration::from_nanos(1_544_712_661_000_000_002),
            attributes: vec![("http.request.method", "GET".into()), ("http.response.status_code", 503.into())],
            failed: true,
        }
    }

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let document = document(&json!({"attributes": []}), &[record()]);
        let span = &document["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let expected = json!({
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
            "spanId": "00f067aa0ba902b7",
            "parentSpanId": "b7ad6b7169203331",
            "name": "GET diagnosis",
            "kind": 3,
            "startTimeUnixNano": "1544712660000000001",
            "endTimeUnixNano": "1544712661000000002",
            "attributes": [
                {"key": "http.request.method", "value": {"stringValue": "GET"}},
                {"key": "http.response.status_code", "value": {"intValue": "503"}},
            ],
            "status": {"code": 2},
        });
        assert_eq!(*span, expected);
    }

    #[test]
    fn the_first_span_of_a_trace_has_no_parent_and_one_that_succeeded_no_status() {
        let span = span(&Record { parent: None, failed: false, ..record() });
        assert_eq!((span.get("parentSpanId"), span.get("status")), (None, None));
    }

    #[test]
    fn the_ratio_decides_by_the_trace_alone() {
        let first_quarter = 0x3fff_0000_0000_0000_u128 | 7 << 100;
        let last = u128::from(u64::MAX);
        assert!(is_within(first_quarter, 0.25) && !is_within(first_quarter, 0.2));
        assert!(is_within(last, 1.0) && !is_within(last, 0.99));
        assert!(!is_within(0, 0.0));
    }
}

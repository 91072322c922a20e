//! Publishes the outbox: what is not yet published, in order by key, deleted only after the broker's ack.
//!
//! There is no cursor: ids are taken at insert and seen at commit, so a cursor would skip late commits. At most
//! one message of a key is in flight, so a failed one is never overtaken by a later one of its key.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::types::RDKafkaErrorCode;
use sqlx::AssertSqlSafe;
use tokio::time::Instant;

use super::lease::Lease;
use super::producer::{Acknowledged, Producer};
use super::{kafka, outbox};
use crate::config::Kafka;
use crate::db::listed;
use crate::failpoint::crash_point;
use crate::http::problem::chain;
use crate::http::trace::{TRACEPARENT, TraceContext};
use crate::telemetry::{Kind, Span};
use crate::{Chassis, Db, DbError, Lifecycle, StartError};

/// One wave: few enough to be handed over within the producer's linger also on a busy machine.
const PAGE: usize = 128;
/// A lost wake-up costs at most this.
const POLL: Duration = Duration::from_secs(1);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

struct Relay {
    chassis: Chassis,
    db: Db,
    settings: Kafka,
    source: String,
    producer: Producer,
    lease: Lease,
    /// Keys whose first message the broker refused, until when they rest.
    resting: HashMap<String, Instant>,
}

#[derive(Debug, Clone)]
struct Pending {
    id: i64,
    event_type: String,
    key: String,
    sequence: i64,
    payload: String,
    traceparent: Option<String>,
    created_at: i64,
}

/// Starts publishing in the background.
pub fn start(chassis: &Chassis, db: &Db, settings: &Kafka) -> Result<(), StartError> {
    let producer = kafka::producer(settings).map_err(|error| StartError::Other(format!("kafka producer: {error}")))?;
    let relay = Relay {
        chassis: chassis.clone(),
        db: db.clone(),
        settings: settings.clone(),
        source: format!("/{}", chassis.about.name),
        producer,
        lease: Lease::new(),
        resting: HashMap::new(),
    };
    let (measured, clock) = (db.clone(), chassis.clock.clone());
    chassis.measurements.add(move || outbox::measure(measured.clone(), clock.clone()));
    chassis.lifecycle.spawn_background("relay", async move {
        tokio::select! {
            () = topic_exists(&relay.settings, &relay.chassis.lifecycle) => relay.run().await,
            () = relay.chassis.lifecycle.stopping() => {}
        }
        Ok::<(), Infallible>(())
    });
    Ok(())
}

/// Asks until the broker can be reached; nothing else waits for it.
async fn topic_exists(settings: &Kafka, lifecycle: &Lifecycle) {
    while let Err(error) = kafka::ensure_topic(settings).await {
        lifecycle.is_troubled("outbox", &error);
        tracing::warn!(error, "the topic cannot be made yet");
        tokio::time::sleep(POLL).await;
    }
}

impl Relay {
    async fn run(mut self) {
        while !self.chassis.lifecycle.is_stopping() {
            match self.publish_waiting().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(reason) => self.complain(&reason),
            }
            // The keys that failed rest for themselves; those of new events need not wait for them.
            tokio::select! {
                () = self.db.outbox_written() => {}
                () = tokio::time::sleep(POLL) => {}
                () = self.chassis.lifecycle.stopping() => {}
            }
        }
        self.finish().await;
    }

    async fn finish(mut self) {
        let producer = self.producer;
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIMEOUT)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!("the producer did not flush in time; the outbox keeps what is missing");
        }
        if let Err(error) = self.lease.release(&self.db).await {
            tracing::debug!(%error, "the relay's lease was not given back; it ends by itself");
        }
    }

    /// Publishes one wave; how many the broker took.
    async fn publish_waiting(&mut self) -> Result<usize, String> {
        let epoch = self.lease.epoch(&self.db).await;
        metrics::gauge!("relay_leader").set(f64::from(u8::from(matches!(epoch, Ok(Some(_))))));
        let Some(epoch) = epoch.map_err(|error| chain(&error))? else { return Ok(0) };
        crash_point("relay.after-lease");
        let wave = self.next_wave().await.map_err(|error| chain(&error))?;
        if wave.is_empty() || !self.lease.is_trusted(&self.db) {
            if wave.is_empty() && self.resting.is_empty() {
                self.chassis.lifecycle.is_well("outbox");
            }
            return Ok(0);
        }
        let sent = self.send(&wave).await;
        let mut delivered = Vec::with_capacity(wave.len());
        let mut failure = None;
        for (event, outcome) in wave.iter().zip(sent) {
            match outcome {
                Ok(()) => delivered.push(event),
                Err(error) => {
                    self.resting.insert(event.key.clone(), Instant::now() + POLL);
                    failure = Some(error);
                }
            }
        }
        crash_point("relay.before-delete");
        self.delete(&delivered, epoch).await.map_err(|error| chain(&error))?;
        crash_point("relay.after-delete");
        self.record(&delivered);
        let count = delivered.len();
        let Some(error) = failure else {
            self.chassis.lifecycle.is_well("outbox");
            return Ok(count);
        };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
            self.begin_again()?;
        }
        if count == 0 {
            return Err(error.to_string());
        }
        self.complain(&error.to_string());
        Ok(count)
    }

    /// A producer that has given a message up goes on under a raised epoch, and there are brokers that fall over
    /// it; a new producer begins a count of its own. Order does not need the old one: no key has two in flight.
    fn begin_again(&mut self) -> Result<(), String> {
        let new = kafka::producer(&self.settings).map_err(|error| error.to_string())?;
        let old = std::mem::replace(&mut self.producer, new);
        // It waits for its thread.
        tokio::task::spawn_blocking(move || drop(old));
        Ok(())
    }

    fn complain(&self, reason: &str) {
        self.chassis.lifecycle.is_troubled("outbox", reason);
        tracing::warn!(reason, "events wait in the outbox");
    }

    /// The first waiting event of each key that does not rest.
    async fn next_wave(&mut self) -> Result<Vec<Pending>, DbError> {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let mut wave = Vec::new();
        let mut seen: HashSet<String> = self.resting.keys().cloned().collect();
        let mut after = 0;
        while wave.is_empty() {
            let page = self.page(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let is_last = page.len() < PAGE;
            wave.extend(page.into_iter().filter(|event| seen.insert(event.key.clone())));
            if is_last {
                break;
            }
        }
        Ok(wave)
    }

    async fn page(&self, after: i64) -> Result<Vec<Pending>, DbError> {
        type Row = (i64, String, String, i64, String, Option<String>, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, event_type, message_key, sequence, payload, traceparent, created_at
             FROM outbox WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(PAGE as i64)
        .fetch_all(self.db.reader())
        .await?;
        let pending = |(id, event_type, key, sequence, payload, traceparent, created_at)| Pending {
            id,
            event_type,
            key,
            sequence,
            payload,
            traceparent,
            created_at,
        };
        Ok(rows.into_iter().map(pending).collect())
    }

    /// All at once, so that the whole wave is one request: what has to wait for an earlier request of ours to be
    /// acknowledged keeps the library's thread busy until then.
    async fn send(&self, wave: &[Pending]) -> Vec<Result<(), KafkaError>> {
        let mut steps: Vec<Span> = wave.iter().map(|event| self.step(event)).collect();
        let headers: Vec<_> =
            wave.iter().zip(&steps).map(|(event, step)| self.headers(event, step.context())).collect();
        let handed: Vec<_> = wave.iter().zip(headers).map(|(event, headers)| self.hand_over(event, headers)).collect();
        let sent = join_all(handed.into_iter().map(acknowledged)).await;
        for (step, outcome) in steps.iter_mut().zip(&sent) {
            if outcome.is_err() {
                step.fail("not_acknowledged");
            }
        }
        sent
    }

    fn hand_over(&self, event: &Pending, headers: OwnedHeaders) -> Result<Acknowledged, KafkaError> {
        crash_point("relay.before-send");
        self.producer.send(&self.settings.topic, &event.key, &event.payload, headers)
    }

    /// The sending of an event as a span of the trace that it belongs to.
    fn step(&self, event: &Pending) -> Span {
        let parent = event.traceparent.as_deref().and_then(TraceContext::parse);
        let mut span = Span::begin(Kind::Producer, parent, || format!("send {}", self.settings.topic));
        span.set("messaging.system", "kafka");
        span.set("messaging.operation.type", "send");
        span.set("messaging.destination.name", self.settings.topic.as_str());
        span.set("cloudevents.event_type", event.event_type.as_str());
        span
    }

    /// CloudEvents 1.0, Kafka binary mode.
    fn headers(&self, event: &Pending, trace: TraceContext) -> OwnedHeaders {
        let id = format!("{}-{}", event.key, event.sequence);
        let time = Timestamp::from_millisecond(event.created_at).unwrap_or_default().to_string();
        let sequence = event.sequence.to_string();
        let mut headers = OwnedHeaders::new();
        let mut add = |key: &str, value: &str| {
            headers = std::mem::take(&mut headers).insert(Header { key, value: Some(value) });
        };
        add("ce_specversion", "1.0");
        add("ce_id", &id);
        add("ce_source", &self.source);
        add("ce_type", &event.event_type);
        add("ce_subject", &event.key);
        add("ce_time", &time);
        add("ce_sequence", &sequence);
        add("content-type", "application/json");
        add(TRACEPARENT, &trace.to_string());
        headers
    }

    /// Only the leader of this epoch may say that something is published.
    async fn delete(&self, delivered: &[&Pending], epoch: i64) -> Result<(), DbError> {
        if delivered.is_empty() {
            return Ok(());
        }
        let statement = format!(
            "DELETE FROM outbox WHERE id IN ({}) AND (SELECT epoch FROM relay_lease WHERE id = 1) = $1",
            listed(delivered.iter().map(|event| event.id))
        );
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    sqlx::query(AssertSqlSafe(statement)).persistent(false).bind(epoch).execute(&mut **tx).await?;
                    Ok(())
                })
            })
            .await
    }

    fn record(&self, delivered: &[&Pending]) {
        let now = self.chassis.clock.now_ms();
        for event in delivered {
            metrics::counter!("outbox_published_total", "event_type" => event.event_type.clone()).increment(1);
            metrics::histogram!("outbox_commit_to_ack_seconds").record((now - event.created_at).max(0) as f64 / 1000.0);
        }
    }
}

async fn acknowledged(handed: Result<Acknowledged, KafkaError>) -> Result<(), KafkaError> {
    match handed?.await {
        Ok(Ok(())) => {
            crash_point("relay.after-ack");
            Ok(())
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(KafkaError::Canceled),
    }
}

//! Takes messages in: effect and inbox row in one transaction, the offset stored after it.
//!
//! Messages are processed in the order in which they arrive, as many as are there in one transaction. If one
//! fails they are done again one by one, so that only the bad one is parked.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use tracing::Instrument;

use super::message::{HandlerError, Handling, Message};
use super::{dead_letter, inbox, kafka, lag};
use crate::config::Kafka;
use crate::failpoint::crash_point;
use crate::telemetry::{Kind, Span};
use crate::{Chassis, Db, DbError, Lifecycle, StartError, Tx};

/// Messages in one transaction at most.
pub(super) const BATCH: usize = 256;
/// With a slow database a transaction has fewer of them, so that it takes no longer: a stop has to wait for its end,
/// and so has whoever wants the same rows.
const LONG_BATCH: Duration = Duration::from_secs(2);
/// For so long the broker does not hear of us while one lasts all the same. Not less: what was fetched ahead is thrown
/// away when partitions are paused.
const UNHEARD: Duration = Duration::from_secs(10);
/// Of a key or a header.
const LONGEST_TEXT: usize = 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Why a message is parked that is not to blame itself.
const WAITS: &str = "waits behind a parked message of the same key";
/// Without a word of trouble from the broker.
const WELL_AFTER: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

const LEAVES_WITHIN: Duration = Duration::from_secs(3);
/// Well within a session of the consumer group.
const AWAKE_EVERY: Duration = Duration::from_secs(3);

/// What a service does with a message.
pub type Handler = Arc<dyn for<'t> Fn(&'t mut Tx, &'t Message) -> Handling<'t> + Send + Sync>;

/// Starts consuming in the background.
pub fn start(chassis: &Chassis, db: &Db, settings: &Kafka, handler: Handler) -> Result<(), StartError> {
    let consumer = kafka::consumer(settings).map_err(|error| StartError::Other(format!("kafka consumer: {error}")))?;
    let consumer = Arc::new(consumer);
    let (reading, parking) = (Arc::downgrade(&consumer), db.clone());
    chassis.measurements.add(move || lag::measure(reading.clone()));
    chassis.measurements.add(move || dead_letter::measure(parking.clone()));
    let intake = Intake { lifecycle: chassis.lifecycle.clone(), db: db.clone(), handler, consumer };
    let (settings, client) = (settings.clone(), Arc::downgrade(&intake.consumer));
    chassis.lifecycle.spawn_background("consumer", async move {
        tokio::select! {
            () = intake.subscribe(&settings) => {}
            () = intake.lifecycle.stopping() => return Ok(()),
        }
        tokio::select! {
            () = intake.run() => {}
            never = keep_awake(client) => match never {},
        }
        Ok::<(), Infallible>(())
    });
    Ok(())
}

/// librdkafka's main thread waits by the wall clock. Where that is set back it waits for as much longer, without a
/// heartbeat or a commit, unless it is asked for something.
async fn keep_awake(client: Weak<kafka::Reader>) -> Infallible {
    loop {
        tokio::time::sleep(AWAKE_EVERY).await;
        let Some(client) = client.upgrade() else { continue };
        if let Err(error) = client.commit_consumer_state(CommitMode::Async) {
            tracing::debug!(%error, "no offsets to commit");
        }
    }
}

struct Intake {
    lifecycle: Lifecycle,
    db: Db,
    handler: Handler,
    consumer: Arc<kafka::Reader>,
}

impl Intake {
    async fn subscribe(&self, settings: &Kafka) {
        loop {
            let made = kafka::ensure_topic(settings).await;
            let subscribed =
                made.and_then(|()| self.consumer.subscribe(&[&settings.topic]).map_err(|error| error.to_string()));
            let Err(reason) = subscribed else { return self.lifecycle.is_well("consumer") };
            self.lifecycle.is_troubled("consumer", &reason);
            tracing::warn!(reason, "cannot subscribe yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn run(self) {
        // Received but not yet processed.
        let mut waiting = Vec::new();
        let mut most = BATCH;
        loop {
            if waiting.is_empty() {
                tokio::select! {
                    received = self.consumer.recv() => self.add(&mut waiting, received),
                    // A broker that is away is complained of far more often.
                    () = tokio::time::sleep(WELL_AFTER) => self.lifecycle.is_well("consumer"),
                    () = self.lifecycle.stopping() => break,
                };
            }
            while waiting.len() < most {
                let Some(received) = self.consumer.recv().now_or_never() else { break };
                self.add(&mut waiting, received);
            }
            let batch = std::mem::take(&mut waiting);
            let (size, began) = (batch.len(), Instant::now());
            if !batch.is_empty() && !self.take_in_at_last(batch, &mut waiting).await {
                break;
            }
            most = next_most(most, size, began.elapsed());
        }
        // Leaves the group with what is done written down; it may ask the broker, so not on the async thread. One that
        // is away is not waited for: what is read again then, the inbox knows.
        let consumer = self.consumer;
        let leaving = tokio::task::spawn_blocking(move || consumer.commit_consumer_state(CommitMode::Sync));
        match tokio::time::timeout(LEAVES_WITHIN, leaving).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "no offsets to commit at the end"),
            Ok(Err(error)) => tracing::debug!(%error, "the last commit panicked"),
            Err(_) => tracing::debug!("the broker did not take the last offsets in time"),
        }
    }

    fn add(&self, batch: &mut Vec<Message>, received: Result<BorrowedMessage<'_>, KafkaError>) {
        match received {
            Ok(message) => {
                self.lifecycle.is_well("consumer");
                batch.push(owned(&message));
            }
            Err(error) => {
                self.lifecycle.is_troubled("consumer", &error);
                tracing::debug!(%error, "the broker cannot be read from");
            }
        }
    }

    /// Repeats until the batch is in the database. `false`: a stop came first.
    async fn take_in_at_last(&self, batch: Vec<Message>, waiting: &mut Vec<Message>) -> bool {
        let batch: Arc<[Message]> = batch.into();
        let (mut pause, started) = (FIRST_PAUSE, Instant::now());
        crash_point("consumer.before-take-in");
        while let Err(error) = self.take_in(&batch, waiting).await {
            self.lifecycle.is_troubled("database", &error);
            tracing::warn!(error = crate::http::problem::chain(&error), "messages wait for the database");
            if !self.rest(pause, waiting).await {
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.lifecycle.is_well("database");
        crash_point("consumer.before-store-offset");
        self.store_offsets(&batch);
        crash_point("consumer.after-store-offset");
        metrics::histogram!("messaging_process_duration_seconds").record(started.elapsed());
        record(&batch);
        true
    }

    /// One try. The broker hears of us all the same where it takes long.
    async fn take_in(&self, batch: &Arc<[Message]>, waiting: &mut Vec<Message>) -> Result<(), DbError> {
        let taken = take_in(&self.db, &self.handler, batch);
        tokio::pin!(taken);
        tokio::select! {
            taken = &mut taken => return taken,
            () = tokio::time::sleep(UNHEARD) => {}
        }
        self.with_partitions_paused(taken, waiting).await
    }

    /// `false`: a stop came first.
    async fn rest(&self, pause: Duration, waiting: &mut Vec<Message>) -> bool {
        let rested = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => true,
                () = self.lifecycle.stopping() => false,
            }
        };
        self.with_partitions_paused(rested, waiting).await
    }

    /// Still polling, so that the broker does not take us for dead and others who join need not wait for us.
    async fn with_partitions_paused<T>(&self, work: impl Future<Output = T>, waiting: &mut Vec<Message>) -> T {
        let mut paused = TopicPartitionList::new();
        let outcome = tokio::select! {
            outcome = work => outcome,
            never = self.receive_paused(waiting, &mut paused) => match never {},
        };
        // All of them, not those that are assigned now: one that was taken away meanwhile would come back paused,
        // and nobody would ever resume it.
        if let Err(error) = self.consumer.resume(&paused) {
            tracing::warn!(%error, "partitions could not be resumed");
        }
        outcome
    }

    /// Paused partitions deliver nothing, but one assigned meanwhile is not paused: what it has brought is kept,
    /// and it is paused then.
    async fn receive_paused(&self, waiting: &mut Vec<Message>, paused: &mut TopicPartitionList) -> Infallible {
        loop {
            if let Err(error) = self.pause_assigned(paused) {
                tracing::debug!(%error, "partitions could not be paused");
            }
            let received = self.consumer.recv().await;
            self.add(waiting, received);
        }
    }

    fn pause_assigned(&self, paused: &mut TopicPartitionList) -> Result<(), KafkaError> {
        let assigned = self.consumer.assignment()?;
        for partition in assigned.elements() {
            if paused.find_partition(partition.topic(), partition.partition()).is_none() {
                paused.add_partition(partition.topic(), partition.partition());
            }
        }
        self.consumer.pause(&assigned)
    }

    fn store_offsets(&self, batch: &[Message]) {
        let mut last: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for message in batch {
            last.insert((&message.topic, message.partition), message.offset);
        }
        for ((topic, partition), offset) in last {
            if let Err(error) = self.consumer.store_offset(topic, partition, offset) {
                // The partition has gone to another consumer, which will read these again; the inbox knows them.
                tracing::debug!(%error, partition, "an offset was not stored");
            }
        }
    }
}

/// How many messages the next transaction may have, after one with so many that took so long.
fn next_most(most: usize, size: usize, took: Duration) -> usize {
    if took > LONG_BATCH {
        return (size / 2).max(1);
    }
    // A small one that was quick says little of a big one.
    if size >= most && took < LONG_BATCH / 4 { (most * 2).min(BATCH) } else { most }
}

/// Processes messages in their order; an error means that the database is in trouble and nothing is lost.
pub async fn take_in(db: &Db, handler: &Handler, batch: &Arc<[Message]>) -> Result<(), DbError> {
    match process(db, handler, batch.clone(), 0..batch.len()).await {
        Ok(()) => return Ok(()),
        Err(HandlerError::Db(error)) if error.is_transient() => return Err(error),
        Err(_) => {}
    }
    for index in 0..batch.len() {
        match process(db, handler, batch.clone(), index..index + 1).await {
            Ok(()) => {}
            Err(HandlerError::Db(error)) if error.is_transient() => return Err(error),
            Err(error) => dead_letter::park(db, &batch[index], &crate::http::problem::chain(&error)).await?,
        }
    }
    Ok(())
}

async fn process(
    db: &Db,
    handler: &Handler,
    batch: Arc<[Message]>,
    range: std::ops::Range<usize>,
) -> Result<(), HandlerError> {
    let (handler, messages) = (handler.clone(), batch.clone());
    let held_back =
        db.write(move |tx| Box::pin(async move { process_in_tx(tx, &handler, &messages[range]).await })).await?;
    for message in batch.iter().filter(|message| held_back.contains(&message.place())) {
        dead_letter::report(message, WAITS);
    }
    Ok(())
}

/// The places of those that were parked behind an earlier message of their key.
async fn process_in_tx(
    tx: &mut Tx,
    handler: &Handler,
    messages: &[Message],
) -> Result<HashSet<(i32, i64)>, HandlerError> {
    // Before the first effect, as whoever redrives takes the parked message first: so neither waits for the other.
    let mut held_back = HashSet::new();
    if dead_letter::any_in_tx(tx).await? {
        for message in messages {
            if dead_letter::holds_back_in_tx(tx, message).await? {
                held_back.insert(message.place());
            }
        }
    }
    let (mut parked, mut repeated) = (HashSet::new(), HashSet::new());
    for message in messages {
        let mut is_held_back = held_back.contains(&message.place());
        // Whoever had the partition before may have parked the repeated one a moment ago.
        if !is_held_back && repeated.contains(&message.parking_key()) {
            is_held_back = dead_letter::holds_back_in_tx(tx, message).await?;
        }
        if is_held_back {
            if dead_letter::park_in_tx(tx, message, WAITS).await? {
                parked.insert(message.place());
            }
        } else if inbox::advance_in_tx(tx, message).await? {
            handle(tx, handler, message).await?;
        } else {
            repeated.insert(message.parking_key());
            metrics::counter!("inbox_duplicates_total").increment(1);
        }
    }
    Ok(parked)
}

/// How many were taken in, and how long after they were written down by who published them.
fn record(batch: &[Message]) {
    metrics::counter!("messaging_client_consumed_messages_total").increment(batch.len() as u64);
    let now = Timestamp::now();
    let times = batch.iter().filter_map(|message| message.header("ce_time")?.parse::<Timestamp>().ok());
    for time in times {
        metrics::histogram!("messaging_delay_seconds").record(now.duration_since(time).as_secs_f64().max(0.0));
    }
}

/// A handler that panics must park its message, not stop the consumer.
pub(super) async fn handle(tx: &mut Tx, handler: &Handler, message: &Message) -> Result<(), HandlerError> {
    let mut step = step(message);
    let log = tracing::info_span!("process", trace_id = %step.context().trace());
    let handling = step.context().scope(handler(tx, message)).instrument(log);
    let handled = AssertUnwindSafe(handling)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(HandlerError::Poison("the handler panicked".to_owned())));
    match &handled {
        Ok(()) => {}
        Err(HandlerError::Poison(_)) => step.fail("poison"),
        Err(HandlerError::Db(_)) => step.fail("database"),
    }
    handled
}

/// The handling of a message as a span of the trace that it came from.
fn step(message: &Message) -> Span {
    let mut span = Span::begin(Kind::Consumer, message.trace(), || format!("process {}", message.topic));
    span.set("messaging.system", "kafka");
    span.set("messaging.operation.type", "process");
    span.set("messaging.destination.name", message.topic.as_str());
    span.set("messaging.destination.partition.id", message.partition.to_string());
    span.set("messaging.kafka.offset", message.offset);
    if let Some(event_type) = message.header("ce_type") {
        span.set("cloudevents.event_type", event_type);
    }
    span
}

/// What one of the databases could not keep, or not in an index, is no text of ours: it must not stop a partition.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (text.len() <= LONGEST_TEXT && !text.contains('\0')).then(|| text.to_owned())
}

pub(super) fn owned(message: &BorrowedMessage<'_>) -> Message {
    let headers = message.headers().map(|headers| {
        headers.iter().filter_map(|header| Some((header.key.to_owned(), text(header.value?)?))).collect()
    });
    Message {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().and_then(text),
        headers: headers.unwrap_or_default(),
        payload: message.payload().unwrap_or_default().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH, Duration, LONG_BATCH, next_most, text};

    #[test]
    fn a_slow_database_gets_less_at_once_and_one_that_is_quick_again_more() {
        let (slow, quick) = (2 * LONG_BATCH, Duration::from_millis(20));
        assert_eq!(next_most(BATCH, BATCH, quick), BATCH);
        assert_eq!(next_most(BATCH, 100, slow), 50);
        assert_eq!(next_most(1, 1, slow), 1);
        assert_eq!(next_most(50, 50, quick), 100);
        assert_eq!(next_most(50, 3, quick), 50);
        assert_eq!(next_most(50, 50, LONG_BATCH / 2), 50);
    }

    #[test]
    fn a_key_that_a_database_could_not_keep_is_none() {
        assert_eq!(text("예약-1".as_bytes()).as_deref(), Some("예약-1"));
        for key in [&b"a\0b"[..], b"\xff", "k".repeat(3000).as_bytes()] {
            assert_eq!(text(key), None);
        }
    }
}

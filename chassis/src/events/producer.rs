//! Sends messages and says of each whether the broker has acknowledged it.
//!
//! The library brings a thread for that, which asks ten times a second whether there is news and waits for the last
//! millisecond of each in a loop: a hundredth of a core in a service that has nothing to do. Here it sleeps until
//! something is sent.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::Client;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use tokio::sync::oneshot;

use super::kafka::Quiet;

/// How long the library is asked at a time while it has messages; a stop waits for it.
const BUSY: Duration = Duration::from_millis(100);
/// How often it is asked while it has none, for errors and tokens.
const IDLE: Duration = Duration::from_secs(1);

/// What comes back of a message: the broker has it, or why not.
pub type Acknowledged = oneshot::Receiver<Result<(), KafkaError>>;

impl ProducerContext for Quiet {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), KafkaError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // A relay that has stopped does not want to know.
        drop(waiting.send(outcome));
    }
}

/// Stays connected until it is dropped, which waits for the library to give up what is under way.
pub struct Producer {
    inner: Arc<BaseProducer<Quiet>>,
    /// `None` at the end, which is how the thread hears of it.
    sent: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Producer {
    pub fn new(config: &ClientConfig, context: Quiet) -> Result<Self, KafkaError> {
        let inner: Arc<BaseProducer<Quiet>> = Arc::new(config.create_with_context(context)?);
        let (sent, news) = sync_channel(1);
        let served = inner.clone();
        let thread = std::thread::Builder::new().name("producer".to_owned()).spawn(move || serve(&served, &news));
        let thread = thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { inner, sent: Some(sent), thread: Some(thread) })
    }

    pub fn client(&self) -> &Client<Quiet> {
        self.inner.client()
    }

    pub fn send(
        &self,
        topic: &str,
        key: &str,
        payload: &str,
        headers: OwnedHeaders,
    ) -> Result<Acknowledged, KafkaError> {
        let (waiting, acknowledged) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(topic, Box::new(waiting)).key(key).payload(payload).headers(headers);
        self.inner.send(record).map_err(|(error, _)| error)?;
        match self.sent.as_ref().map(|sent| sent.try_send(())) {
            // It has been told already and has not woken yet.
            Some(Ok(()) | Err(TrySendError::Full(()))) => Ok(acknowledged),
            Some(Err(TrySendError::Disconnected(()))) | None => Err(KafkaError::Canceled),
        }
    }

    /// Waits for all that was sent; blocks.
    pub fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        self.inner.flush(timeout)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.sent = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that hears the producer's answers panicked");
        }
    }
}

/// Until there is nobody left who could send.
fn serve(producer: &BaseProducer<Quiet>, sent: &Receiver<()>) {
    loop {
        let (poll, rest) = if producer.in_flight_count() > 0 { (BUSY, Duration::ZERO) } else { (Duration::ZERO, IDLE) };
        producer.poll(poll);
        if sent.recv_timeout(rest) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

//! Clients of the broker, configured in one place.

use std::error::Error;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::bearer::Bearer;
use super::producer::Producer;
use crate::config::Kafka;

const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);

pub type Reader = StreamConsumer<Quiet>;

/// Health and the log say that the broker is away; the library would say it again several times a second.
#[derive(Clone)]
pub struct Quiet {
    bearer: Option<Bearer>,
}

impl Quiet {
    fn new(settings: &Kafka) -> Self {
        Self { bearer: settings.security.bearer() }
    }
}

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.bearer.as_ref().ok_or("no token is to be had without OAUTHBEARER")?.token()
    }

    /// What of it is anybody's business comes as an error as well.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure) => {
                tracing::debug!(%error, reason, "the broker is away");
            }
            _ => tracing::warn!(%error, reason, "a client of the broker is in trouble"),
        }
    }
}

impl ConsumerContext for Quiet {}

fn client(settings: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.group)
        // A broker that comes back is found again within a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.keepalive.enable", "true")
        // One that has gone without a word is left after that; by default a fetch waits a minute for it.
        .set("socket.timeout.ms", "5000");
    settings.security.apply(&mut client);
    client
}

/// Idempotent, acknowledged by all replicas, and sent as soon as the relay has handed over its wave, which takes less
/// than the linger: then it is one request. Of what is left over for a second one the library's thread asks, without a
/// pause, whether the first has been acknowledged.
pub fn producer(settings: &Kafka) -> Result<Producer, KafkaError> {
    let mut config = client(settings);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "2")
        .set("message.timeout.ms", "10000")
        .set("queue.buffering.max.kbytes", "8192");
    Producer::new(&config, Quiet::new(settings))
}

/// Offsets are stored by hand after the database's commit; what is stored is committed each second.
pub fn consumer(settings: &Kafka) -> Result<Reader, KafkaError> {
    client(settings)
        .set("group.id", &settings.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        // The least that brokers allow by their own defaults: for so long nobody reads on for one that is dead.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000")
        // The consumer is heard of every 10 s whatever it does. So long a lost answer to a request to join is waited for.
        .set("max.poll.interval.ms", "20000")
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.message.max.bytes", "1048576")
        .create_with_context(Quiet::new(settings))
}

/// Reads a topic outside any group: it commits nothing, so the group's own place stays. The library wants a
/// group's name even for that.
pub fn reader(settings: &Kafka) -> Result<Reader, KafkaError> {
    client(settings)
        .set("group.id", format!("{}-replay", settings.group))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.message.max.bytes", "1048576")
        .create_with_context(Quiet::new(settings))
}

/// Makes the topic where it is missing; on a cluster it is usually made beforehand.
pub async fn ensure_topic(settings: &Kafka) -> Result<(), String> {
    let (settings, runtime) = (settings.clone(), tokio::runtime::Handle::current());
    // An admin client waits for its own thread when it is dropped, so not on the async thread.
    tokio::task::spawn_blocking(move || runtime.block_on(make_topic(&settings)))
        .await
        .map_err(|error| error.to_string())?
}

async fn make_topic(settings: &Kafka) -> Result<(), String> {
    // A producer has a thread that hears why it is refused, and that the library wants a token; an admin client has not.
    let producer = producer(settings).map_err(|error| error.to_string())?;
    let known = producer.client().fetch_metadata(None, ADMIN_TIMEOUT).map_err(|error| error.to_string())?;
    if known.topics().iter().any(|topic| topic.name() == settings.topic) {
        return Ok(());
    }
    if settings.security.bearer().is_some() {
        return Err(format!("there is no topic {}; with OAUTHBEARER make it beforehand", settings.topic));
    }
    let admin: AdminClient<Quiet> =
        client(settings).create_with_context(Quiet::new(settings)).map_err(|error| error.to_string())?;
    let topic = NewTopic::new(&settings.topic, settings.partitions, TopicReplication::Fixed(settings.replication));
    let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT)).request_timeout(Some(ADMIN_TIMEOUT));
    let outcomes = admin.create_topics([&topic], &options).await.map_err(|error| error.to_string())?;
    for outcome in outcomes {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            // The broker does not even look whether it is there; whoever may make topics has made it.
            Err((_, RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)) => {}
            Err((topic, code)) => return Err(format!("topic {topic}: {code}")),
        }
    }
    Ok(())
}

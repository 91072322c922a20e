//! The topic as it is: records read and written past the services, and how far their groups are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Node, World, WorldError};

pub const TOPIC: &str = "animal";
const CALL: Duration = Duration::from_secs(10);
/// For all records of a long campaign.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bigger than the biggest poison.
const LARGEST: &str = "8000000";

/// A record as the broker has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub payload: Option<Vec<u8>>,
}

impl Record {
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("client.id", Node::Client.name()).set("log_level", "0");
    config
}

fn consumer(brokers: &str, group: &str) -> Result<BaseConsumer, WorldError> {
    let mut config = config(brokers);
    config.set("group.id", group).set("enable.auto.commit", "false").set("fetch.message.max.bytes", LARGEST);
    Ok(config.create()?)
}

/// Each partition with its first offset and the one after its last.
fn bounds(consumer: &BaseConsumer) -> Result<BTreeMap<i32, (i64, i64)>, WorldError> {
    let metadata = consumer.fetch_metadata(Some(TOPIC), CALL)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    partitions.map(|partition| Ok((partition.id(), consumer.fetch_watermarks(TOPIC, partition.id(), CALL)?))).collect()
}

fn read(brokers: &str) -> Result<Vec<Record>, WorldError> {
    let consumer = consumer(brokers, "checker")?;
    let mut ends = bounds(&consumer)?;
    ends.retain(|_, (low, high)| low < high);
    let mut places = TopicPartitionList::new();
    for (partition, (low, _)) in &ends {
        places.add_partition_offset(TOPIC, *partition, Offset::Offset(*low))?;
    }
    consumer.assign(&places)?;
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !ends.is_empty() {
        if Instant::now() > deadline {
            return Err(WorldError::failed(format!("the topic could not be read to its end; missing is {ends:?}")));
        }
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        // What goes wrong on the way is tried again by the library itself.
        let Ok(message) = message else { continue };
        let Some((_, end)) = ends.get(&message.partition()).copied() else { continue };
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
        });
        if message.offset() < end {
            records.push(Record {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                headers: headers.unwrap_or_default(),
                payload: message.payload().map(<[u8]>::to_vec),
            });
        }
        if message.offset() + 1 >= end {
            ends.remove(&message.partition());
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// Each partition with how many of its records the group has not written down as done.
fn lags(brokers: &str, group: &str) -> Result<Vec<(i32, i64)>, WorldError> {
    let consumer = consumer(brokers, group)?;
    let bounds = bounds(&consumer)?;
    let mut places = TopicPartitionList::new();
    for partition in bounds.keys() {
        places.add_partition(TOPIC, *partition);
    }
    let committed = consumer.committed_offsets(places, CALL)?;
    let behind = committed.elements().into_iter().map(|element| {
        let (low, high) = bounds[&element.partition()];
        let lag = match element.offset() {
            Offset::Offset(place) => high - place,
            _ => high - low,
        };
        (element.partition(), lag)
    });
    Ok(behind.collect())
}

fn reset(brokers: &str, group: &str) -> Result<(), WorldError> {
    let consumer = consumer(brokers, group)?;
    let mut places = TopicPartitionList::new();
    for (partition, (low, _)) in bounds(&consumer)? {
        places.add_partition_offset(TOPIC, partition, Offset::Offset(low))?;
    }
    Ok(consumer.commit(&places, CommitMode::Sync)?)
}

impl World {
    /// Everything in the topic, by partition and offset.
    pub async fn read_topic(&self) -> Result<Vec<Record>, WorldError> {
        self.ask_broker(read).await
    }

    /// How many records a service's group has not written down as done.
    pub async fn lag(&self, of: Node) -> Result<i64, WorldError> {
        Ok(self.lags(of).await?.into_iter().map(|(_, lag)| lag).sum())
    }

    /// The same, by partition.
    pub async fn lags(&self, of: Node) -> Result<Vec<(i32, i64)>, WorldError> {
        self.ask_broker(move |brokers| lags(brokers, of.name())).await
    }

    /// Lets a service read everything again. All its replicas must be held down meanwhile.
    pub async fn reset_offsets(&self, of: Node) -> Result<(), WorldError> {
        self.ask_broker(move |brokers| reset(brokers, of.name())).await
    }

    /// Writes records as they are, into the partition that each names, or with -1 into that of its key.
    pub async fn publish_raw(&self, records: &[Record]) -> Result<(), WorldError> {
        let producer: FutureProducer = config(&self.brokers()).set("message.max.bytes", LARGEST).create()?;
        let mut sent = Vec::new();
        for raw in records {
            let headers = raw
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
            let mut record = FutureRecord::<[u8], [u8]>::to(TOPIC).headers(headers);
            record.key = raw.key.as_deref();
            record.payload = raw.payload.as_deref();
            record.partition = (raw.partition >= 0).then_some(raw.partition);
            sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
        }
        for delivery in sent {
            let delivered = delivery.await.map_err(|error| WorldError::failed(error.to_string()))?;
            delivered.map_err(|(error, _)| error)?;
        }
        // Dropping it waits for its own thread.
        tokio::task::spawn_blocking(move || drop(producer)).await.map_err(|error| WorldError::failed(error.to_string()))
    }

    /// The library's calls wait, so they have a thread of their own.
    async fn ask_broker<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&str) -> Result<T, WorldError> + Send + 'static,
    ) -> Result<T, WorldError> {
        let brokers = self.brokers();
        let asked = tokio::task::spawn_blocking(move || ask(&brokers)).await;
        asked.map_err(|error| WorldError::failed(error.to_string()))?
    }
}

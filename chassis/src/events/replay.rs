//! Reads a topic from its beginning, or from where an earlier reading ended, to where it ended when the reading began, outside any group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::consumer::{BATCH, owned};
use super::{Message, kafka};
use crate::config::Kafka;

const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that sends nothing for this long while there is something to send is taken for gone.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("the broker cannot be read from")]
    Kafka(#[from] KafkaError),
    #[error("the broker has no topic {0}")]
    NoTopic(String),
    #[error("the broker has sent nothing for {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error("the reading of the topic's ends did not end")]
    Interrupted,
}

/// A reading under way.
pub struct Replay {
    consumer: kafka::Reader,
    /// Partitions still being read, and the offset at which each ends.
    ends: BTreeMap<i32, i64>,
    is_whole: bool,
    places: Places,
}

/// The offset after the last message that was read, by partition.
pub type Places = BTreeMap<i32, i64>;

impl Replay {
    /// Finds out where the topic ends; nothing is read yet. It begins at `places`, and where there is none, at the
    /// partition's beginning.
    pub async fn open(settings: &Kafka, places: Places) -> Result<Self, ReplayError> {
        let (consumer, topic) = (kafka::reader(settings)?, settings.topic.clone());
        // These calls wait for the broker, so not on the async thread.
        tokio::task::spawn_blocking(move || Self::begin(consumer, &topic, places))
            .await
            .map_err(|_| ReplayError::Interrupted)?
    }

    fn begin(consumer: kafka::Reader, topic: &str, places: Places) -> Result<Self, ReplayError> {
        // Nothing can have come yet, but the library may want a token, and asks for it only here.
        drop(consumer.recv().now_or_never());
        let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT)?;
        let known = metadata.topics().iter().find(|known| known.name() == topic && known.error().is_none());
        let partitions = known.map(|known| known.partitions()).unwrap_or_default();
        if partitions.is_empty() {
            return Err(ReplayError::NoTopic(topic.to_owned()));
        }
        let mut assignment = TopicPartitionList::new();
        let (mut ends, mut is_whole) = (BTreeMap::new(), true);
        for partition in partitions {
            let (first, end) = consumer.fetch_watermarks(topic, partition.id(), ASK_TIMEOUT)?;
            is_whole &= first <= 0;
            let next = places.get(&partition.id()).copied().unwrap_or(first).max(first);
            if next < end {
                assignment.add_partition_offset(topic, partition.id(), Offset::Offset(next))?;
                ends.insert(partition.id(), end);
            }
        }
        consumer.assign(&assignment)?;
        Ok(Self { consumer, ends, is_whole, places })
    }

    /// Whether the topic still has its first messages; retention may have removed them.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How far it has come; a later reading goes on from here.
    pub fn into_places(self) -> Places {
        self.places
    }

    /// The next messages in the order of their partitions; none is the end.
    pub async fn next_batch(&mut self) -> Result<Arc<[Message]>, ReplayError> {
        let mut batch = Vec::new();
        while batch.is_empty() && !self.ends.is_empty() {
            let received =
                tokio::time::timeout(PATIENCE, self.consumer.recv()).await.map_err(|_| ReplayError::Silent)?;
            note(received, &mut self.ends, &mut batch)?;
        }
        while batch.len() < BATCH && !self.ends.is_empty() {
            let Some(received) = self.consumer.recv().now_or_never() else { break };
            note(received, &mut self.ends, &mut batch)?;
        }
        for message in &batch {
            self.places.insert(message.partition, message.offset + 1);
        }
        Ok(batch.into())
    }
}

fn note(
    received: Result<BorrowedMessage<'_>, KafkaError>,
    ends: &mut BTreeMap<i32, i64>,
    batch: &mut Vec<Message>,
) -> Result<(), ReplayError> {
    let message = match received {
        Ok(message) => message,
        // Markers of transactions are never delivered, so the last offset alone may not show the end.
        Err(KafkaError::PartitionEOF(partition)) => {
            ends.remove(&partition);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let Some(end) = ends.get(&message.partition()).copied() else { return Ok(()) };
    if message.offset() < end {
        batch.push(owned(&message));
    }
    if message.offset() + 1 >= end {
        ends.remove(&message.partition());
    }
    Ok(())
}

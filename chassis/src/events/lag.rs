//! How far a consumer is behind: asked of the broker, so that one that hangs or rests does not hide it.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::Reader;

/// Each of the two questions may wait behind a fetch on the same connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Nothing where the consumer has ended.
pub async fn measure(consumer: Weak<Reader>) {
    // It waits for the broker, so not on the async thread.
    let asked = tokio::task::spawn_blocking(move || consumer.upgrade().map(|consumer| behind(&consumer))).await;
    match asked {
        Ok(Some(Ok(messages))) => metrics::gauge!("kafka_consumer_lag").set(messages as f64),
        Ok(Some(Err(error))) => tracing::debug!(%error, "the consumer's lag cannot be measured"),
        Ok(None) | Err(_) => {}
    }
}

/// Messages of the assigned partitions that are not yet taken in.
fn behind(consumer: &Reader) -> Result<i64, KafkaError> {
    let assigned = consumer.assignment()?;
    if assigned.count() == 0 {
        return Ok(0);
    }
    let done = consumer.committed_offsets(assigned.clone(), ANSWER_WITHIN)?;
    // The broker takes "the end" for a time as well, and answers for all partitions at once.
    let mut ends = assigned;
    ends.set_all_offsets(Offset::End)?;
    let ends = by_partition(&consumer.offsets_for_times(ends, ANSWER_WITHIN)?);
    let done = by_partition(&done);
    Ok(ends.iter().map(|(partition, end)| (end - done.get(partition).unwrap_or(&0)).max(0)).sum())
}

/// One topic's, where they are known.
fn by_partition(offsets: &TopicPartitionList) -> HashMap<i32, i64> {
    let known = |offset: Offset| match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    let elements = offsets.elements();
    elements.iter().filter_map(|element| Some((element.partition(), known(element.offset())?))).collect()
}

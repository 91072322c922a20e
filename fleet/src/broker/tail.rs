//! The ends of the partitions in memory. What consumers fetch next is nearly always what was produced last, or
//! nothing; tansu would ask its database several times for each partition of each of them.
//!
//! What is here was committed by tansu before. Whatever is not certain is forgotten, and tansu asked again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tansu_sans_io::fetch_request::{FetchPartition, FetchTopic};
use tansu_sans_io::fetch_response::{FetchableTopicResponse, PartitionData};
use tansu_sans_io::produce_request::PartitionProduceData;
use tansu_sans_io::produce_response::PartitionProduceResponse;
use tansu_sans_io::record::deflated::{Batch, Frame};
use tansu_sans_io::{FetchRequest, FetchResponse, ProduceRequest, ProduceResponse};

/// Of each partition.
const KEPT_BYTES: usize = 256 * 1024;

/// The records from `start` to `end`, each batch under the offset of its first.
#[derive(Debug)]
struct Log {
    start: i64,
    end: i64,
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Log {
    fn empty(end: i64) -> Self {
        Self { start: end, end, batches: VecDeque::new(), bytes: 0 }
    }

    fn append(&mut self, batch: Batch) {
        self.end = after(&batch);
        self.bytes += batch.record_data.len();
        self.batches.push_back(batch);
        while self.bytes > KEPT_BYTES && self.batches.len() > 1 {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.record_data.len();
            self.start = after(&oldest);
        }
    }

    /// Whole batches from the one with this offset on, at least one where there is any; `None`: not here.
    fn read(&self, offset: i64, most_bytes: usize) -> Option<Vec<Batch>> {
        if !(self.start..=self.end).contains(&offset) {
            return None;
        }
        let first = self.batches.partition_point(|batch| after(batch) <= offset);
        let mut bytes = 0;
        let within = self.batches.iter().skip(first).take_while(|batch| {
            let is_first = bytes == 0;
            bytes += batch.record_data.len();
            is_first || bytes <= most_bytes
        });
        Some(within.cloned().collect())
    }
}

fn after(batch: &Batch) -> i64 {
    batch.base_offset + i64::from(batch.last_offset_delta) + 1
}

/// A partition; without a log nothing is known of its end.
#[derive(Debug, Default)]
struct Partition {
    log: Option<Log>,
    /// It goes at least to here: answers to different producers may come out of order.
    reaches: i64,
    /// How often something was produced: what was asked of tansu before may be outdated after.
    produced: u64,
}

impl Partition {
    fn took(&mut self, batch: Option<Batch>) {
        self.produced += 1;
        let log = self.log.take();
        let Some(batch) = batch else { return };
        let mut log = log.unwrap_or_else(|| Log::empty(batch.base_offset));
        let (is_next, is_last) = (batch.base_offset == log.end, after(&batch) > self.reaches);
        self.reaches = self.reaches.max(after(&batch));
        if is_next && is_last {
            log.append(batch);
            self.log = Some(log);
        }
    }

    fn ends_at(&mut self, end: i64) {
        if self.log.is_none() && end >= self.reaches {
            self.reaches = end;
            self.log = Some(Log::empty(end));
        }
    }
}

type Names = HashMap<[u8; 16], String>;

/// A topic and a partition of it.
type Place = (String, i32);

#[derive(Debug, Default)]
pub struct Tail {
    partitions: Mutex<BTreeMap<Place, Partition>>,
    /// Newer clients fetch by a topic's id.
    names: Mutex<Names>,
    /// Where transactions are used it is tansu who knows which of them are committed.
    is_transactional: AtomicBool,
}

/// How often something had been produced before tansu was asked.
pub struct Before(BTreeMap<Place, u64>);

impl Tail {
    fn partitions(&self) -> MutexGuard<'_, BTreeMap<Place, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Topics are made and deleted, records deleted: rarely, and then nothing is certain.
    pub fn forget(&self) {
        self.names().clear();
        for partition in self.partitions().values_mut() {
            *partition = Partition { produced: partition.produced + 1, ..Partition::default() };
        }
    }

    /// The ids of topics that have no name here yet.
    pub fn nameless(&self, request: &FetchRequest) -> Vec<[u8; 16]> {
        let names = self.names();
        let topics = request.topics.iter().flatten().filter(|topic| topic.topic.is_none());
        topics.filter_map(|topic| topic.topic_id).filter(|id| !names.contains_key(id)).collect()
    }

    pub fn name(&self, id: [u8; 16], name: String) {
        self.names().insert(id, name);
    }

    fn name_of(&self, topic: &FetchTopic) -> Option<String> {
        topic.topic.clone().or_else(|| self.names().get(&topic.topic_id?).cloned())
    }

    /// The answer, if all that is asked for is here.
    pub fn read(&self, request: &FetchRequest) -> Option<FetchResponse> {
        if self.is_transactional.load(Ordering::Acquire) {
            return None;
        }
        let topics: Option<Vec<_>> = request.topics.iter().flatten().map(|topic| self.read_topic(topic)).collect();
        let response = FetchResponse::default().throttle_time_ms(Some(0)).error_code(Some(0)).session_id(Some(0));
        Some(response.node_endpoints(Some(Vec::new())).responses(Some(topics?)))
    }

    fn read_topic(&self, topic: &FetchTopic) -> Option<FetchableTopicResponse> {
        let name = self.name_of(topic)?;
        let all = self.partitions();
        let read = |wanted: &FetchPartition| {
            let log = all.get(&(name.clone(), wanted.partition))?.log.as_ref()?;
            let most = usize::try_from(wanted.partition_max_bytes).unwrap_or_default();
            let batches = log.read(wanted.fetch_offset, most)?;
            let data = PartitionData::default()
                .partition_index(wanted.partition)
                .high_watermark(log.end)
                .last_stable_offset(Some(log.end))
                .log_start_offset(Some(0))
                .aborted_transactions(Some(Vec::new()))
                .preferred_read_replica(Some(-1));
            Some(data.records((!batches.is_empty()).then_some(Frame { batches })))
        };
        let partitions: Option<Vec<_>> = topic.partitions.iter().flatten().map(read).collect();
        let response = FetchableTopicResponse::default().topic(topic.topic.clone()).topic_id(topic.topic_id);
        Some(response.partitions(Some(partitions?)))
    }

    pub fn before(&self) -> Before {
        Before(self.partitions().iter().map(|(place, partition)| (place.clone(), partition.produced)).collect())
    }

    /// Where a partition ends, from what tansu answered, unless something was produced meanwhile.
    pub fn learn(&self, request: &FetchRequest, response: &FetchResponse, before: &Before) {
        let topics = request.topics.iter().flatten().zip(response.responses.iter().flatten());
        for (asked, answered) in topics {
            let Some(name) = self.name_of(asked) else { continue };
            let pairs = asked.partitions.iter().flatten().zip(answered.partitions.iter().flatten());
            for (asked, answered) in pairs {
                let is_at_end = answered.error_code == 0
                    && answered.records.is_none()
                    && answered.partition_index == asked.partition
                    && answered.high_watermark == asked.fetch_offset;
                let place = (name.clone(), asked.partition);
                let produced = before.0.get(&place).copied().unwrap_or_default();
                let mut all = self.partitions();
                let partition = all.entry(place).or_default();
                if is_at_end && partition.produced == produced {
                    partition.ends_at(answered.high_watermark);
                }
            }
        }
    }

    /// What became of records, partition by partition; what is not certain is forgotten.
    pub fn took(&self, request: ProduceRequest, response: Option<&ProduceResponse>) {
        if request.transactional_id.is_some() {
            self.is_transactional.store(true, Ordering::Release);
        }
        let topics = response.into_iter().flat_map(|response| response.responses.iter().flatten());
        let answers: BTreeMap<(&str, i32), &PartitionProduceResponse> = topics
            .flat_map(|topic| {
                let partitions = topic.partition_responses.iter().flatten();
                partitions.map(|partition| ((topic.name.as_str(), partition.index), partition))
            })
            .collect();
        for topic in request.topic_data.unwrap_or_default() {
            for sent in topic.partition_data.unwrap_or_default() {
                let index = sent.index;
                let batch = answers.get(&(topic.name.as_str(), index)).and_then(|answer| placed(sent, answer));
                self.partitions().entry((topic.name.clone(), index)).or_default().took(batch);
            }
        }
    }
}

/// The batch at the offset that it was given; a refused one has none.
fn placed(sent: PartitionProduceData, answer: &PartitionProduceResponse) -> Option<Batch> {
    let [batch] = <[Batch; 1]>::try_from(sent.records?.batches).ok()?;
    (answer.error_code == 0).then_some(Batch { base_offset: answer.base_offset, ..batch })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tansu_sans_io::produce_request::TopicProduceData;
    use tansu_sans_io::produce_response::TopicProduceResponse;

    use super::*;

    fn batch(base_offset: i64, records: i32, bytes: usize) -> Batch {
        let record_data = Bytes::from(vec![0; bytes]);
        Batch { base_offset, last_offset_delta: records - 1, record_data, ..Batch::default() }
    }

    fn produce(tail: &Tail, base_offset: i64, records: i32, error: i16) {
        let sent =
            PartitionProduceData::default().index(0).records(Some(Frame { batches: vec![batch(0, records, 10)] }));
        let topic = TopicProduceData::default().name("animal".into()).partition_data(Some(vec![sent]));
        let answer = PartitionProduceResponse::default().index(0).error_code(error).base_offset(base_offset);
        let answered = TopicProduceResponse::default().name("animal".into()).partition_responses(Some(vec![answer]));
        let response = ProduceResponse::default().responses(Some(vec![answered]));
        tail.took(ProduceRequest::default().topic_data(Some(vec![topic])), Some(&response));
    }

    fn fetch(offset: i64) -> FetchRequest {
        let partition = FetchPartition::default().partition(0).fetch_offset(offset).partition_max_bytes(1_000_000);
        let topic = FetchTopic::default().topic(Some("animal".into())).partitions(Some(vec![partition]));
        FetchRequest::default().topics(Some(vec![topic]))
    }

    /// The offsets of the batches and the end; none if tansu has to be asked.
    fn read(tail: &Tail, offset: i64) -> Option<(Vec<i64>, i64)> {
        let response = tail.read(&fetch(offset))?;
        let topic = response.responses?.remove(0);
        let partition = topic.partitions?.remove(0);
        let batches = partition.records.map(|frame| frame.batches).unwrap_or_default();
        Some((batches.iter().map(|batch| batch.base_offset).collect(), partition.high_watermark))
    }

    /// What tansu answers to who stands at the end.
    fn at_end(offset: i64) -> FetchResponse {
        let partition = PartitionData::default().partition_index(0).high_watermark(offset);
        let topic = FetchableTopicResponse::default().topic(Some("animal".into())).partitions(Some(vec![partition]));
        FetchResponse::default().responses(Some(vec![topic]))
    }

    #[test]
    fn what_was_produced_last_is_read_from_where_it_is_asked_for() {
        let tail = Tail::default();
        assert_eq!(read(&tail, 7), None);
        produce(&tail, 7, 2, 0);
        produce(&tail, 9, 1, 0);
        assert_eq!(read(&tail, 7), Some((vec![7, 9], 10)));
        assert_eq!(read(&tail, 8), Some((vec![7, 9], 10)));
        assert_eq!(read(&tail, 9), Some((vec![9], 10)));
        assert_eq!(read(&tail, 10), Some((vec![], 10)));
        assert_eq!((read(&tail, 6), read(&tail, 11)), (None, None));
    }

    #[test]
    fn what_is_answered_out_of_order_or_not_at_all_is_asked_of_the_storage() {
        let tail = Tail::default();
        produce(&tail, 0, 1, 0);
        produce(&tail, 3, 1, 0);
        assert_eq!(read(&tail, 1), None);
        // The one between comes late, and the end is further on.
        produce(&tail, 1, 2, 0);
        assert_eq!(read(&tail, 1), None);
        produce(&tail, 4, 1, 0);
        assert_eq!(read(&tail, 4), Some((vec![4], 5)));
        produce(&tail, -1, 1, 45);
        assert_eq!(read(&tail, 5), None);
    }

    #[test]
    fn an_end_is_learnt_unless_something_was_produced_meanwhile() {
        let tail = Tail::default();
        let before = tail.before();
        tail.learn(&fetch(5), &at_end(5), &before);
        assert_eq!(read(&tail, 5), Some((vec![], 5)));

        tail.forget();
        let before = tail.before();
        produce(&tail, 5, 1, 0);
        produce(&tail, 7, 1, 0);
        tail.learn(&fetch(5), &at_end(5), &before);
        assert_eq!(read(&tail, 5), None);
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_and_transactions_are_left_to_the_storage() {
        let mut log = Log::empty(0);
        for offset in 0..3 {
            log.append(batch(offset, 1, KEPT_BYTES / 2));
        }
        assert_eq!((log.start, log.end, log.batches.len()), (1, 3, 2));
        assert_eq!(log.read(1, 1).map(|batches| batches.len()), Some(1));

        let tail = Tail::default();
        produce(&tail, 0, 1, 0);
        tail.took(ProduceRequest::default().transactional_id(Some("t".into())), None);
        assert_eq!(read(&tail, 0), None);
    }
}

//! What there is to be judged after a trial: the clients' log, every database, and the topic.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::history::Operation;

/// Everything, read once the fleet was quiet.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub operations: Vec<Operation>,
    pub reservations: Vec<Reservation>,
    pub records: Vec<MedicalRecord>,
    /// Reservations for which diagnosis still holds a date beside the current one.
    pub held_changes: Vec<i64>,
    pub bills: Vec<Bill>,
    pub notices: Vec<Notice>,
    /// What has arrived at the webhook, in that order.
    pub posts: Vec<Post>,
    pub views: Vec<View>,
    pub view_events: Vec<ViewEvent>,
    /// Lookup's own count of each state.
    pub view_counts: Vec<(String, i64)>,
    /// How far each consumer has come in each stream.
    pub places: Vec<Place>,
    pub parked: Vec<Parked>,
    /// Rows of an outbox, by service.
    pub unpublished: Vec<(String, i64)>,
    /// Idempotency keys without an answer, by service.
    pub unanswered_keys: Vec<(String, String)>,
    pub topic: Vec<Record>,
    pub expected: Expected,
}

/// What a case has put in by hand.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Messages that every consumer must have parked, and the only ones.
    pub poison: BTreeSet<Position>,
    /// Messages of other publishers than ours; no stream is expected of them.
    pub foreign: BTreeSet<Position>,
    /// The services that consume.
    pub consumers: Vec<String>,
}

/// Partition and offset.
pub type Position = (i32, i64);

#[derive(Debug, Clone, Default, Serialize)]
pub struct Reservation {
    pub id: i64,
    pub state: String,
    pub name: String,
    pub date: String,
    pub phone: String,
    pub events: i64,
    pub has_open_change: bool,
    pub settle_after: Option<i64>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct MedicalRecord {
    pub reservation_id: i64,
    pub is_held: bool,
    pub date: Option<String>,
    pub state: String,
    pub is_confirmed: bool,
    pub events: i64,
}

impl MedicalRecord {
    pub fn is_live(&self) -> bool {
        self.state != "CANCELED"
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Bill {
    pub id: i64,
    pub reservation_id: i64,
    pub state: String,
    pub fee: i64,
    /// Counts its events; 0 in the row that keeps a treatment from being billed.
    pub version: i64,
}

impl Bill {
    pub fn is_live(&self) -> bool {
        ["BILLED", "PAID"].contains(&self.state.as_str())
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Notice {
    pub id: i64,
    pub reservation_id: i64,
    pub kind: String,
    pub source: String,
    pub sequence: i64,
    pub state: String,
}

/// A message as the other side of the channel has seen it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Post {
    /// The same for each try of one message.
    pub key: String,
    pub body: serde_json::Value,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct View {
    pub reservation_id: i64,
    pub version: i64,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub date: Option<String>,
    pub fee: Option<i64>,
    pub reservation: Option<String>,
    pub treatment: Option<String>,
    pub payment: Option<String>,
    pub state: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ViewEvent {
    pub reservation_id: i64,
    pub version: i64,
    pub event_type: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Place {
    pub service: String,
    pub source: String,
    pub key: String,
    pub sequence: i64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Parked {
    pub service: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub reason: String,
}

/// A record of the topic.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    /// By its headers: who published it, as which of that key, and what it is.
    pub source: Option<String>,
    pub sequence: Option<i64>,
    pub event_type: Option<String>,
    #[serde(serialize_with = "as_text")]
    pub payload: Vec<u8>,
}

fn as_text<S: serde::Serializer>(payload: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(payload))
}

impl Record {
    pub fn position(&self) -> Position {
        (self.partition, self.offset)
    }
}

//! Reads the evidence of a quiet fleet out of its databases and its topic.

use sqlx::AnyPool;

use crate::evidence::{
    Bill, Evidence, Expected, MedicalRecord, Notice, Parked, Place, Record, Reservation, View, ViewEvent,
};
use crate::history::History;
use crate::world::{self, Node, World, WorldError};

/// What the keys of records begin with that a case has put in.
pub const INJECTED_KEYS: &str = "faults-";
/// The header that says what such a record is.
pub const KIND: &str = "faults";
/// Nobody can process it.
pub const POISON: &str = "poison";
/// It is of no concern to anybody.
pub const FOREIGN: &str = "foreign";

pub async fn evidence(world: &World, history: &History) -> Result<Evidence, WorldError> {
    let topic = world.read_topic().await?;
    let mut evidence = Evidence {
        operations: history.operations(),
        expected: expected(&topic),
        topic: topic.into_iter().map(record).collect(),
        ..Evidence::default()
    };
    read_reservation(&world.database(Node::Reservation).await?, &mut evidence).await?;
    read_diagnosis(&world.database(Node::Diagnosis).await?, &mut evidence).await?;
    read_acceptance(&world.database(Node::Acceptance).await?, &mut evidence).await?;
    read_notice(&world.database(Node::Notice).await?, &mut evidence).await?;
    // After the notices: what counts as delivered there has arrived by now.
    evidence.posts = world.webhook().posts();
    read_lookup(&world.database(Node::Lookup).await?, &mut evidence).await?;
    for node in Node::PUBLISHERS {
        let pool = world.database(node).await?;
        let (rows,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM outbox").fetch_one(&pool).await?;
        evidence.unpublished.push((node.name().to_owned(), rows));
    }
    for node in Node::CONSUMERS {
        read_intake(node, &world.database(node).await?, &mut evidence).await?;
    }
    for node in [Node::Reservation, Node::Acceptance] {
        let pool = world.database(node).await?;
        let keys: Vec<(String,)> =
            sqlx::query_as("SELECT request_key FROM idempotency WHERE status IS NULL").fetch_all(&pool).await?;
        evidence.unanswered_keys.extend(keys.into_iter().map(|(key,)| (node.name().to_owned(), key)));
    }
    Ok(evidence)
}

fn expected(topic: &[world::Record]) -> Expected {
    let mut expected =
        Expected { consumers: Node::CONSUMERS.map(|node| node.name().to_owned()).to_vec(), ..Expected::default() };
    for record in topic {
        let is_injected = record.key.as_ref().is_some_and(|key| key.starts_with(INJECTED_KEYS.as_bytes()));
        if !is_injected {
            continue;
        }
        let position = (record.partition, record.offset);
        expected.foreign.insert(position);
        if record.header(KIND).as_deref() == Some(POISON) {
            expected.poison.insert(position);
        }
    }
    expected
}

fn record(raw: world::Record) -> Record {
    Record {
        partition: raw.partition,
        offset: raw.offset,
        source: raw.header("ce_source"),
        sequence: raw.header("ce_sequence").and_then(|sequence| sequence.parse().ok()),
        event_type: raw.header("ce_type"),
        key: raw.key.map(|key| String::from_utf8_lossy(&key).into_owned()),
        payload: raw.payload.unwrap_or_default(),
    }
}

async fn read_reservation(pool: &AnyPool, evidence: &mut Evidence) -> Result<(), sqlx::Error> {
    type Row = (i64, String, String, String, String, i64, Option<String>, Option<i64>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, state, reservator_name, reservation_date, phone_number, events, requested_change, settle_after
         FROM reservation ORDER BY id",
    )
    .fetch_all(pool)
    .await?;
    evidence.reservations = rows
        .into_iter()
        .map(|(id, state, name, date, phone, events, requested, settle_after)| Reservation {
            id,
            state,
            name,
            date,
            phone,
            events,
            has_open_change: requested.is_some(),
            settle_after,
        })
        .collect();
    Ok(())
}

async fn read_diagnosis(pool: &AnyPool, evidence: &mut Evidence) -> Result<(), sqlx::Error> {
    type Row = (i64, Option<i64>, Option<String>, String, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT reservation_id, held_at, reservation_date, state, confirmed, events FROM medical_record ORDER BY id",
    )
    .fetch_all(pool)
    .await?;
    evidence.records = rows
        .into_iter()
        .map(|(reservation_id, held_at, date, state, confirmed, events)| MedicalRecord {
            reservation_id,
            is_held: held_at.is_some(),
            date,
            state,
            is_confirmed: confirmed == 1,
            events,
        })
        .collect();
    let held: Vec<(i64,)> = sqlx::query_as("SELECT reservation_id FROM requested_change").fetch_all(pool).await?;
    evidence.held_changes = held.into_iter().map(|(id,)| id).collect();
    Ok(())
}

async fn read_acceptance(pool: &AnyPool, evidence: &mut Evidence) -> Result<(), sqlx::Error> {
    type Row = (i64, i64, String, i64, i64);
    let rows: Vec<Row> =
        sqlx::query_as("SELECT id, reservation_id, state, fee, version FROM bill ORDER BY id").fetch_all(pool).await?;
    evidence.bills = rows
        .into_iter()
        .map(|(id, reservation_id, state, fee, version)| Bill { id, reservation_id, state, fee, version })
        .collect();
    Ok(())
}

async fn read_notice(pool: &AnyPool, evidence: &mut Evidence) -> Result<(), sqlx::Error> {
    type Row = (i64, i64, String, String, i64, String);
    let rows: Vec<Row> =
        sqlx::query_as("SELECT id, reservation_id, kind, source, sequence, state FROM notice ORDER BY id")
            .fetch_all(pool)
            .await?;
    evidence.notices = rows
        .into_iter()
        .map(|(id, reservation_id, kind, source, sequence, state)| Notice {
            id,
            reservation_id,
            kind,
            source,
            sequence,
            state,
        })
        .collect();
    Ok(())
}

async fn read_lookup(pool: &AnyPool, evidence: &mut Evidence) -> Result<(), sqlx::Error> {
    type Text = Option<String>;
    type Row = (i64, i64, Text, Text, Text, Option<i64>, Text, Text, Text, Text);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT reservation_id, version, reservator_name, phone_number, reservation_date, fee, reservation, treatment,
            payment, state
         FROM reservation_stats ORDER BY reservation_id",
    )
    .fetch_all(pool)
    .await?;
    let view = |(reservation_id, version, name, phone, date, fee, reservation, treatment, payment, state)| View {
        reservation_id,
        version,
        name,
        phone,
        date,
        fee,
        reservation,
        treatment,
        payment,
        state,
    };
    evidence.views = rows.into_iter().map(view).collect();
    let rows: Vec<(i64, i64, String)> =
        sqlx::query_as("SELECT reservation_id, version, event_type FROM reservation_history").fetch_all(pool).await?;
    evidence.view_events = rows
        .into_iter()
        .map(|(reservation_id, version, event_type)| ViewEvent { reservation_id, version, event_type })
        .collect();
    evidence.view_counts = sqlx::query_as("SELECT state, total FROM reservation_count").fetch_all(pool).await?;
    Ok(())
}

async fn read_intake(node: Node, pool: &AnyPool, evidence: &mut Evidence) -> Result<(), sqlx::Error> {
    let places: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT source, message_key, sequence FROM inbox").fetch_all(pool).await?;
    let service = || node.name().to_owned();
    evidence.places.extend(places.into_iter().map(|(source, key, sequence)| Place {
        service: service(),
        source,
        key,
        sequence,
    }));
    let letters: Vec<(i64, i64, String, String)> =
        sqlx::query_as("SELECT kafka_partition, kafka_offset, message_key, reason FROM dead_letter ORDER BY id")
            .fetch_all(pool)
            .await?;
    evidence.parked.extend(letters.into_iter().map(|(partition, offset, key, reason)| Parked {
        service: service(),
        partition: partition as i32,
        offset,
        key,
        reason,
    }));
    Ok(())
}

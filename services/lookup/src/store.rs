//! All statements of this service.

use chassis::db::{Migration, listed};
use chassis::{Db, DbError, Tx};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use crate::domain::{HistoryEntry, State, Stats};
use crate::normal;

pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 100,
    name: "reservation_stats",
    sql: include_str!("../migrations/0100_reservation_stats.sql"),
}];

pub const STATS: &str = "reservation_id, version, customer_id, reservator_name, phone_number, reservation_date, \
     doctor, fee, reservation, treatment, payment, state, last_event_at";

impl FromRow<'_, AnyRow> for Stats {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            reservation_id: row.try_get("reservation_id")?,
            version: row.try_get("version")?,
            customer_id: row.try_get("customer_id")?,
            reservator_name: row.try_get("reservator_name")?,
            phone_number: row.try_get("phone_number")?,
            reservation_date: row.try_get("reservation_date")?,
            doctor: row.try_get("doctor")?,
            fee: row.try_get("fee")?,
            reservation: state(row, "reservation")?,
            treatment: state(row, "treatment")?,
            payment: state(row, "payment")?,
            state: state(row, "state")?,
            last_event_at: row.try_get("last_event_at")?,
        })
    }
}

fn state(row: &AnyRow, column: &str) -> Result<Option<State>, sqlx::Error> {
    let Some(code) = row.try_get::<Option<String>, _>(column)? else { return Ok(None) };
    let state = State::of_code(&code).ok_or_else(|| sqlx::Error::Decode(format!("{column} is {code}").into()))?;
    Ok(Some(state))
}

impl FromRow<'_, AnyRow> for HistoryEntry {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            reservation_id: row.try_get("reservation_id")?,
            version: row.try_get("version")?,
            event_type: row.try_get("event_type")?,
            happened_at: row.try_get("happened_at")?,
            reservation_date: row.try_get("reservation_date")?,
            doctor: row.try_get("doctor")?,
            fee: row.try_get("fee")?,
        })
    }
}

/// The reservation's row, locked; a new one has version 0.
pub async fn lock_in_tx(tx: &mut Tx, reservation_id: i64) -> Result<Stats, DbError> {
    let statement = format!(
        "INSERT INTO reservation_stats (reservation_id, version) VALUES ($1, 0)
         ON CONFLICT (reservation_id) DO UPDATE SET version = reservation_stats.version
         RETURNING {STATS}"
    );
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(reservation_id).fetch_one(&mut **tx).await?)
}

/// Writes a row that [`lock_in_tx`] gave.
pub async fn update_in_tx(tx: &mut Tx, stats: &Stats) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE reservation_stats SET
            version = $2, customer_id = $3, reservator_name = $4, phone_number = $5, phone_digits = $6,
            reservation_date = $7, visit_at = $8, doctor = $9, fee = $10, reservation = $11, treatment = $12,
            payment = $13, state = $14, last_event_at = $15
         WHERE reservation_id = $1",
    )
    .bind(stats.reservation_id)
    .bind(stats.version)
    .bind(&stats.customer_id)
    .bind(&stats.reservator_name)
    .bind(&stats.phone_number)
    .bind(stats.phone_number.as_deref().and_then(normal::phone_digits))
    .bind(&stats.reservation_date)
    .bind(stats.reservation_date.as_deref().and_then(normal::visit_at))
    .bind(&stats.doctor)
    .bind(stats.fee)
    .bind(stats.reservation.map(State::code))
    .bind(stats.treatment.map(State::code))
    .bind(stats.payment.map(State::code))
    .bind(stats.state.map(State::code))
    .bind(stats.last_event_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn append_history_in_tx(tx: &mut Tx, entry: &HistoryEntry) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO reservation_history
            (reservation_id, version, event_type, happened_at, reservation_date, doctor, fee)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(entry.reservation_id)
    .bind(entry.version)
    .bind(&entry.event_type)
    .bind(entry.happened_at)
    .bind(&entry.reservation_date)
    .bind(&entry.doctor)
    .bind(entry.fee)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Counts a row from the state it was in, if it was there, to the state it is in.
pub async fn count_in_tx(
    tx: &mut Tx,
    partition: i64,
    before: Option<Option<State>>,
    now: Option<State>,
) -> Result<(), DbError> {
    if before == Some(now) {
        return Ok(());
    }
    if let Some(before) = before {
        add_to_count_in_tx(tx, partition, before, -1).await?;
    }
    add_to_count_in_tx(tx, partition, now, 1).await
}

async fn add_to_count_in_tx(tx: &mut Tx, partition: i64, state: Option<State>, rows: i64) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO reservation_count (state, kafka_partition, total) VALUES ($1, $2, $3)
         ON CONFLICT (state, kafka_partition) DO UPDATE SET total = reservation_count.total + excluded.total",
    )
    .bind(state.map_or("", State::code))
    .bind(partition)
    .bind(rows)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn find(db: &Db, reservation_id: i64) -> Result<Option<Stats>, DbError> {
    let statement = format!("SELECT {STATS} FROM reservation_stats WHERE reservation_id = $1");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(reservation_id).fetch_optional(db.reader()).await?)
}

/// The rows after a reservation's, in the order of their ids.
pub async fn page(db: &Db, after: i64, limit: i64) -> Result<Vec<Stats>, DbError> {
    let statement =
        format!("SELECT {STATS} FROM reservation_stats WHERE reservation_id > $1 ORDER BY reservation_id LIMIT $2");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(after).bind(limit).fetch_all(db.reader()).await?)
}

/// The histories of several reservations in one statement, each in its order.
pub async fn histories(db: &Db, reservation_ids: &[i64]) -> Result<Vec<HistoryEntry>, DbError> {
    if reservation_ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT reservation_id, version, event_type, happened_at, reservation_date, doctor, fee
         FROM reservation_history WHERE reservation_id IN ({}) ORDER BY reservation_id, version",
        listed(reservation_ids)
    );
    Ok(sqlx::query_as(AssertSqlSafe(statement)).persistent(false).fetch_all(db.reader()).await?)
}

pub async fn count_all(db: &Db) -> Result<i64, DbError> {
    count_of(db, None).await
}

/// How many rows there are, or are in a state, without counting them.
pub async fn count_of(db: &Db, state: Option<State>) -> Result<i64, DbError> {
    let (total,): (i64,) = sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(total), 0) AS BIGINT) FROM reservation_count
         WHERE CAST($1 AS TEXT) IS NULL OR state = $1",
    )
    .bind(state.map(State::code))
    .fetch_one(db.reader())
    .await?;
    Ok(total)
}

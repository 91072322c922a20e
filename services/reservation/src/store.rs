//! All SQL of this service.

use chassis::db::{Migration, where_given};
use chassis::http::hal::{Order, Page};
use chassis::{Db, DbError, Tx};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use crate::domain::{Details, Reservation, State};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 100, name: "reservation", sql: include_str!("../migrations/0100_reservation.sql") }];

const COLUMNS: &str =
    "id, state, reservator_name, reservation_date, phone_number, customer_id, refusal, version, events,
    requested_change, change_number, settle_after, decide_by, idempotency_key, created_at";

impl FromRow<'_, AnyRow> for Reservation {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let unreadable = |column: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: format!("reservation.{column} holds something unknown").into(),
        };
        let requested: Option<String> = row.try_get("requested_change")?;
        let requested = requested.map(|json| serde_json::from_str(&json)).transpose();
        Ok(Self {
            id: row.try_get("id")?,
            state: State::named(row.try_get("state")?).ok_or_else(|| unreadable("state"))?,
            details: Details {
                name: row.try_get("reservator_name")?,
                date: row.try_get("reservation_date")?,
                phone: row.try_get("phone_number")?,
            },
            customer_id: row.try_get("customer_id")?,
            refusal: row.try_get("refusal")?,
            version: row.try_get("version")?,
            events: row.try_get("events")?,
            requested: requested.map_err(|_| unreadable("requested_change"))?,
            change_number: row.try_get("change_number")?,
            settle_after: row.try_get("settle_after")?,
            decide_by: row.try_get("decide_by")?,
            idempotency_key: row.try_get("idempotency_key")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// When the reconciler takes an unanswered question over, and when it gives up.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub settle_after: i64,
    pub decide_by: i64,
}

pub async fn insert_pending_in_tx(
    tx: &mut Tx,
    details: &Details,
    customer_id: &str,
    idempotency_key: Option<&str>,
    patience: Patience,
    now_ms: i64,
) -> Result<Reservation, DbError> {
    let statement = format!(
        "INSERT INTO reservation (state, reservator_name, reservation_date, phone_number, customer_id, version, events,
            change_number, settle_after, decide_by, idempotency_key, created_at, updated_at)
         VALUES ('PENDING', $1, $2, $3, $4, 0, 0, 0, $5, $6, $7, $8, $8) RETURNING {COLUMNS}"
    );
    let row = sqlx::query_as(AssertSqlSafe(statement))
        .bind(&details.name)
        .bind(&details.date)
        .bind(&details.phone)
        .bind(customer_id)
        .bind(patience.settle_after)
        .bind(patience.decide_by)
        .bind(idempotency_key)
        .bind(now_ms)
        .fetch_one(&mut **tx)
        .await?;
    Ok(row)
}

/// Reads a reservation and keeps every other transaction from it until this one ends.
pub async fn lock_in_tx(tx: &mut Tx, id: i64) -> Result<Option<Reservation>, DbError> {
    let statement = format!("UPDATE reservation SET version = version WHERE id = $1 RETURNING {COLUMNS}");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(id).fetch_optional(&mut **tx).await?)
}

/// Writes a reservation that this transaction has locked. What it still waits for goes with `patience`.
pub async fn update_in_tx(
    tx: &mut Tx,
    reservation: &Reservation,
    patience: Option<Patience>,
    now_ms: i64,
) -> Result<(), DbError> {
    let requested = reservation.requested.as_ref().map(serde_json::to_string).transpose();
    sqlx::query(
        "UPDATE reservation SET state = $2, reservator_name = $3, reservation_date = $4, phone_number = $5, refusal = $6,
            version = $7, events = $8, requested_change = $9, change_number = $10, settle_after = $11, decide_by = $12,
            idempotency_key = $13, updated_at = $14
         WHERE id = $1",
    )
    .bind(reservation.id)
    .bind(reservation.state.name())
    .bind(&reservation.details.name)
    .bind(&reservation.details.date)
    .bind(&reservation.details.phone)
    .bind(&reservation.refusal)
    .bind(reservation.version)
    .bind(reservation.events)
    .bind(requested.map_err(|error| DbError::Corrupt(error.to_string()))?)
    .bind(reservation.change_number)
    .bind(patience.map(|patience| patience.settle_after))
    .bind(patience.map(|patience| patience.decide_by))
    .bind(&reservation.idempotency_key)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub async fn delete_in_tx(tx: &mut Tx, id: i64) -> Result<(), DbError> {
    sqlx::query("DELETE FROM reservation WHERE id = $1").bind(id).execute(&mut **tx).await?;
    Ok(())
}

/// Takes over what has waited long enough, for as long as one round of asking may take. A time later than
/// `latest_ms` was set by a clock that was ahead and is not waited for.
pub async fn claim_unsettled(
    db: &Db,
    now_ms: i64,
    until_ms: i64,
    latest_ms: i64,
    limit: i64,
) -> Result<Vec<Reservation>, DbError> {
    let statement = format!(
        "UPDATE reservation
         SET settle_after = $2, decide_by = CASE WHEN decide_by > $4 THEN $4 ELSE decide_by END
         WHERE id IN (
            SELECT id FROM reservation WHERE settle_after <= $1 OR settle_after > $4 ORDER BY settle_after LIMIT $3)
           AND (settle_after <= $1 OR settle_after > $4)
         RETURNING {COLUMNS}"
    );
    db.write(move |tx| {
        Box::pin(async move {
            let rows = sqlx::query_as(AssertSqlSafe(statement))
                .bind(now_ms)
                .bind(until_ms)
                .bind(limit)
                .bind(latest_ms)
                .fetch_all(&mut **tx)
                .await?;
            Ok(rows)
        })
    })
    .await
}

/// Whether anything waits to be settled; a look that costs no write.
pub async fn any_unsettled(db: &Db, now_ms: i64, latest_ms: i64) -> Result<bool, DbError> {
    let statement = "SELECT id FROM reservation WHERE settle_after <= $1 OR settle_after > $2 LIMIT 1";
    let row: Option<(i64,)> =
        sqlx::query_as(statement).bind(now_ms).bind(latest_ms).fetch_optional(db.reader()).await?;
    Ok(row.is_some())
}

/// How many wait for diagnosis's answer, and by when the first of them must be decided.
pub async fn unsettled(db: &Db) -> Result<(i64, Option<i64>), DbError> {
    let statement = "SELECT COUNT(*), MIN(decide_by) FROM reservation WHERE settle_after IS NOT NULL";
    Ok(sqlx::query_as(statement).fetch_one(db.reader()).await?)
}

pub async fn find(db: &Db, id: i64) -> Result<Option<Reservation>, DbError> {
    let statement = format!("SELECT {COLUMNS} FROM reservation WHERE id = $1");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(id).fetch_optional(db.reader()).await?)
}

/// Which reservations to list.
#[derive(Debug, Default)]
pub struct Filter {
    pub customer_id: Option<String>,
    pub state: Option<State>,
}

pub async fn list(db: &Db, filter: &Filter, order: Order, page: Page) -> Result<(Vec<Reservation>, i64), DbError> {
    let condition = where_given(&[("customer_id", filter.customer_id.is_some()), ("state", filter.state.is_some())]);
    let order = order.sql();
    let rows = format!("SELECT {COLUMNS} FROM reservation WHERE {condition} ORDER BY id {order} LIMIT $3 OFFSET $4");
    let count = format!("SELECT COUNT(*) FROM reservation WHERE {condition}");
    let state = filter.state.map(State::name);
    let found = sqlx::query_as(AssertSqlSafe(rows))
        .bind(&filter.customer_id)
        .bind(state)
        .bind(page.size)
        .bind(page.offset())
        .fetch_all(db.reader())
        .await?;
    let (total,): (i64,) =
        sqlx::query_as(AssertSqlSafe(count)).bind(&filter.customer_id).bind(state).fetch_one(db.reader()).await?;
    Ok((found, total))
}

//! All SQL of this service.

use chassis::db::{Migration, where_given};
use chassis::http::hal::{Order, Page};
use chassis::{Db, DbError, Tx};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use crate::domain::{Bill, NewBill, State};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 100, name: "bill", sql: include_str!("../migrations/0100_bill.sql") }];

const COLUMNS: &str =
    "id, reservation_id, customer_id, treatment, fee, state, method, version, billed_at, paid_at, canceled_at";
/// A cancellation that came before the treatment is kept in the same row, but it is no bill.
const IS_BILL: &str = "state <> 'NEVER_BILLED'";

impl FromRow<'_, AnyRow> for Bill {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let state = State::named(row.try_get("state")?).ok_or_else(|| sqlx::Error::ColumnDecode {
            index: "state".to_owned(),
            source: "bill.state holds something unknown".into(),
        })?;
        Ok(Self {
            id: row.try_get("id")?,
            reservation_id: row.try_get("reservation_id")?,
            customer_id: row.try_get("customer_id")?,
            treatment: row.try_get("treatment")?,
            fee: row.try_get("fee")?,
            state,
            method: row.try_get("method")?,
            version: row.try_get("version")?,
            billed_at: row.try_get("billed_at")?,
            paid_at: row.try_get("paid_at")?,
            canceled_at: row.try_get("canceled_at")?,
        })
    }
}

/// `None`: the treatment was billed before, or cancelled.
pub async fn insert_in_tx(tx: &mut Tx, new: &NewBill, now_ms: i64) -> Result<Option<Bill>, DbError> {
    let statement = format!(
        "INSERT INTO bill (reservation_id, customer_id, treatment, fee, state, version, billed_at)
         VALUES ($1, $2, $3, $4, 'BILLED', 1, $5)
         ON CONFLICT (reservation_id) DO NOTHING RETURNING {COLUMNS}"
    );
    Ok(sqlx::query_as(AssertSqlSafe(statement))
        .bind(new.reservation_id)
        .bind(&new.customer_id)
        .bind(&new.treatment)
        .bind(new.fee)
        .bind(now_ms)
        .fetch_optional(&mut **tx)
        .await?)
}

/// Keeps a treatment from being billed later. `false`: it is billed already, or was kept from it before.
pub async fn forbid_in_tx(tx: &mut Tx, reservation_id: i64, now_ms: i64) -> Result<bool, DbError> {
    let inserted = sqlx::query(
        "INSERT INTO bill (reservation_id, fee, state, version, billed_at, canceled_at)
         VALUES ($1, 0, 'NEVER_BILLED', 0, $2, $2)
         ON CONFLICT (reservation_id) DO NOTHING",
    )
    .bind(reservation_id)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Which bill is meant.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Id(i64),
    Reservation(i64),
}

/// Reads a bill and keeps every other transaction from it until this one ends.
pub async fn lock_in_tx(tx: &mut Tx, which: Which) -> Result<Option<Bill>, DbError> {
    let (column, value) = match which {
        Which::Id(id) => ("id", id),
        Which::Reservation(id) => ("reservation_id", id),
    };
    let statement = format!("UPDATE bill SET version = version WHERE {column} = $1 AND {IS_BILL} RETURNING {COLUMNS}");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(value).fetch_optional(&mut **tx).await?)
}

/// Writes a bill that this transaction has locked.
pub async fn update_in_tx(tx: &mut Tx, bill: &Bill) -> Result<(), DbError> {
    sqlx::query("UPDATE bill SET state = $2, method = $3, version = $4, paid_at = $5, canceled_at = $6 WHERE id = $1")
        .bind(bill.id)
        .bind(bill.state.name())
        .bind(&bill.method)
        .bind(bill.version)
        .bind(bill.paid_at)
        .bind(bill.canceled_at)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub async fn find(db: &Db, id: i64) -> Result<Option<Bill>, DbError> {
    let statement = format!("SELECT {COLUMNS} FROM bill WHERE id = $1 AND {IS_BILL}");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(id).fetch_optional(db.reader()).await?)
}

/// Which bills are listed: all that match what is given.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub customer_id: Option<String>,
    pub reservation_id: Option<i64>,
    pub state: Option<State>,
}

impl Filter {
    fn condition(&self) -> String {
        let given = where_given(&[
            ("customer_id", self.customer_id.is_some()),
            ("reservation_id", self.reservation_id.is_some()),
            ("state", self.state.is_some()),
        ]);
        format!("{IS_BILL} AND {given}")
    }
}

/// One page by age, and how many there are in all.
pub async fn list(db: &Db, filter: &Filter, order: Order, page: Page) -> Result<(Vec<Bill>, i64), DbError> {
    let condition = filter.condition();
    let order = order.sql();
    let rows = format!("SELECT {COLUMNS} FROM bill WHERE {condition} ORDER BY id {order} LIMIT $4 OFFSET $5");
    let count = format!("SELECT COUNT(*) FROM bill WHERE {condition}");
    let state = filter.state.map(State::name);
    let bills = sqlx::query_as(AssertSqlSafe(rows))
        .bind(&filter.customer_id)
        .bind(filter.reservation_id)
        .bind(state)
        .bind(page.size)
        .bind(page.offset())
        .fetch_all(db.reader())
        .await?;
    let (total,): (i64,) = sqlx::query_as(AssertSqlSafe(count))
        .bind(&filter.customer_id)
        .bind(filter.reservation_id)
        .bind(state)
        .fetch_one(db.reader())
        .await?;
    Ok((bills, total))
}

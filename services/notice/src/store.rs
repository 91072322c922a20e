//! All SQL of this service.

pub mod queue;

use chassis::db::{Migration, where_given};
use chassis::http::hal::{Order, Page};
use chassis::http::trace::TraceContext;
use chassis::{Db, DbError, Tx};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use crate::domain::{Kind, NewNotice, Notice, Recipient, State};

pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 100, name: "notice", sql: include_str!("../migrations/0100_notice.sql") },
    Migration { version: 101, name: "notice_trace", sql: include_str!("../migrations/0101_notice_trace.sql") },
    Migration { version: 102, name: "notice_queue", sql: include_str!("../migrations/0102_notice_queue.sql") },
];

const COLUMNS: &str = "id, reservation_id, kind, customer_id, name, phone, reservation_date, text, state, attempts,
    failure, created_at, sent_at, traceparent";

impl FromRow<'_, AnyRow> for Recipient {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            customer_id: row.try_get("customer_id")?,
            name: row.try_get("name")?,
            phone: row.try_get("phone")?,
            reservation_date: row.try_get("reservation_date")?,
        })
    }
}

impl FromRow<'_, AnyRow> for Notice {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let unreadable = |column: &str| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: format!("notice.{column} holds something unknown").into(),
        };
        Ok(Self {
            id: row.try_get("id")?,
            reservation_id: row.try_get("reservation_id")?,
            kind: Kind::named(row.try_get("kind")?).ok_or_else(|| unreadable("kind"))?,
            recipient: Recipient::from_row(row)?,
            open_text: row.try_get("text")?,
            state: State::named(row.try_get("state")?).ok_or_else(|| unreadable("state"))?,
            attempts: row.try_get("attempts")?,
            failure: row.try_get("failure")?,
            created_at: row.try_get("created_at")?,
            sent_at: row.try_get("sent_at")?,
            trace: row.try_get::<Option<&str>, _>("traceparent")?.and_then(TraceContext::parse),
        })
    }
}

/// Learns of a recipient and says all that is known; what an event leaves out stays as it was.
/// Keeps every other transaction from this reservation until this one ends.
pub async fn know_in_tx(tx: &mut Tx, reservation_id: i64, heard: &Recipient) -> Result<Recipient, DbError> {
    let known = sqlx::query_as(
        "INSERT INTO contact (reservation_id, customer_id, name, phone, reservation_date) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (reservation_id) DO UPDATE SET
            customer_id = COALESCE(excluded.customer_id, contact.customer_id),
            name = COALESCE(excluded.name, contact.name),
            phone = COALESCE(excluded.phone, contact.phone),
            reservation_date = COALESCE(excluded.reservation_date, contact.reservation_date)
         RETURNING customer_id, name, phone, reservation_date",
    )
    .bind(reservation_id)
    .bind(&heard.customer_id)
    .bind(&heard.name)
    .bind(&heard.phone)
    .bind(&heard.reservation_date)
    .fetch_one(&mut **tx)
    .await?;
    Ok(known)
}

/// Does nothing if there is a notice of this change already. Behind an earlier one that was put off it is put off too.
pub async fn insert_in_tx(tx: &mut Tx, new: &NewNotice, recipient: &Recipient, now_ms: i64) -> Result<(), DbError> {
    let state = if recipient.phone.is_some() { State::Pending } else { State::Waiting };
    sqlx::query(
        "INSERT INTO notice (reservation_id, kind, source, sequence, customer_id, name, phone, reservation_date, text,
            state, attempts, due_at, created_at, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, COALESCE((
            SELECT MAX(due_at) FROM notice
            WHERE reservation_id = $1 AND state || '' = 'PENDING' AND failure IS NOT NULL AND due_at > $11), $11), $11, $12)
         ON CONFLICT (reservation_id, kind, source, sequence) DO NOTHING",
    )
    .bind(new.reservation_id)
    .bind(new.kind.name())
    .bind(&new.source)
    .bind(new.sequence)
    .bind(&recipient.customer_id)
    .bind(&recipient.name)
    .bind(&recipient.phone)
    .bind(&recipient.reservation_date)
    .bind(&new.text)
    .bind(state.name())
    .bind(now_ms)
    .bind(TraceContext::current().map(|trace| trace.to_string()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Messages that waited for this recipient are to be sent now. As to `state || ''` see [`queue`].
pub async fn address_waiting_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    recipient: &Recipient,
    now_ms: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE notice SET state = 'PENDING', customer_id = $2, name = $3, phone = $4, reservation_date = $5, due_at = $6
         WHERE reservation_id = $1 AND state || '' = 'WAITING'",
    )
    .bind(reservation_id)
    .bind(&recipient.customer_id)
    .bind(&recipient.name)
    .bind(&recipient.phone)
    .bind(&recipient.reservation_date)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What has not been sent, and since when the oldest waits for its channel.
pub struct Unsent {
    pub pending: i64,
    pub oldest: Option<i64>,
    pub waiting: i64,
}

pub async fn unsent(db: &Db) -> Result<Unsent, DbError> {
    let (pending, oldest, waiting) = sqlx::query_as(
        "SELECT COUNT(*), MIN(created_at), (SELECT COUNT(*) FROM notice WHERE state = 'WAITING')
         FROM notice WHERE state = 'PENDING'",
    )
    .fetch_one(db.reader())
    .await?;
    Ok(Unsent { pending, oldest, waiting })
}

/// Gives up messages whose recipient has not become known; how many.
pub async fn give_up_waiting(db: &Db, created_before_ms: i64) -> Result<u64, DbError> {
    db.write(move |tx| {
        Box::pin(async move {
            let given_up = sqlx::query(
                "UPDATE notice SET state = 'FAILED', failure = 'nobody is known to send it to'
                 WHERE state = 'WAITING' AND created_at < $1",
            )
            .bind(created_before_ms)
            .execute(&mut **tx)
            .await?;
            Ok(given_up.rows_affected())
        })
    })
    .await
}

pub async fn find(db: &Db, id: i64) -> Result<Option<Notice>, DbError> {
    let statement = format!("SELECT {COLUMNS} FROM notice WHERE id = $1");
    Ok(sqlx::query_as(AssertSqlSafe(statement)).bind(id).fetch_optional(db.reader()).await?)
}

/// Which notices are listed: all that match what is given.
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
        // One index has what is to be sent, and is found by when; the other has everything else.
        match self.state {
            None => given,
            Some(State::Pending) => format!("{given} AND state = 'PENDING' AND due_at >= 0"),
            Some(_) => format!("{given} AND state <> 'PENDING'"),
        }
    }
}

/// One page by age, and how many there are in all.
pub async fn list(db: &Db, filter: &Filter, order: Order, page: Page) -> Result<(Vec<Notice>, i64), DbError> {
    let condition = filter.condition();
    let order = order.sql();
    let rows = format!("SELECT {COLUMNS} FROM notice WHERE {condition} ORDER BY id {order} LIMIT $4 OFFSET $5");
    let count = format!("SELECT COUNT(*) FROM notice WHERE {condition}");
    let state = filter.state.map(State::name);
    let notices = sqlx::query_as(AssertSqlSafe(rows))
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
    Ok((notices, total))
}

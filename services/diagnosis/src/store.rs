//! All statements about medical records.

use chassis::db::{Migration, Pool};
use chassis::http::hal::{Order, Page};
use chassis::{DbError, Tx};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use crate::date::VisitDate;
use crate::domain::{Findings, Record, State, Visit};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 100, name: "medical records", sql: include_str!("../migrations/0100_medical_records.sql") }];

macro_rules! columns {
    () => {
        "id, reservation_id, held_at, reservation_date, change_number, doctor, treatment, medical_opinion, state, \
         confirmed, refusal, customer_id, events, version, updated_at"
    };
}

impl FromRow<'_, AnyRow> for Record {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let state = State::from_stored(row.try_get("state")?)
            .ok_or_else(|| sqlx::Error::Decode("medical_record.state is none of ours".into()))?;
        Ok(Self {
            id: row.try_get("id")?,
            reservation_id: row.try_get("reservation_id")?,
            held_at: row.try_get("held_at")?,
            reservation_date: row.try_get("reservation_date")?,
            change_number: row.try_get("change_number")?,
            doctor: row.try_get("doctor")?,
            treatment: row.try_get("treatment")?,
            medical_opinion: row.try_get("medical_opinion")?,
            state,
            is_confirmed: row.try_get::<i64, _>("confirmed")? == 1,
            refusal: row.try_get("refusal")?,
            customer_id: row.try_get("customer_id")?,
            events: row.try_get("events")?,
            version: row.try_get("version")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

/// Holds a visit; nothing if there is a row for the reservation already, be it a record or a tombstone.
pub async fn hold_in_tx(tx: &mut Tx, visit: &Visit, now_ms: i64) -> Result<Option<Record>, DbError> {
    let date = visit.date.as_ref();
    let held = sqlx::query_as(concat!(
        "INSERT INTO medical_record (reservation_id, held_at, reservation_date, visit_day, visit_hour, doctor,
            treatment, medical_opinion, state, customer_id, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'SCHEDULED', $9, $2)
         ON CONFLICT (reservation_id) DO NOTHING RETURNING ",
        columns!()
    ))
    .bind(visit.reservation_id)
    .bind(now_ms)
    .bind(date.map(|date| date.text.clone()))
    .bind(date.and_then(VisitDate::day))
    .bind(date.and_then(VisitDate::hour))
    .bind(&visit.doctor)
    .bind(&visit.treatment)
    .bind(&visit.medical_opinion)
    .bind(visit.customer_id.clone())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(held)
}

/// Makes a visit that was just held a tombstone: nothing is held, and the reason is kept for late tries.
pub async fn refuse_in_tx(tx: &mut Tx, reservation_id: i64, reason: &str) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE medical_record SET state = 'CANCELED', held_at = NULL, visit_day = NULL, visit_hour = NULL, refusal = $2
         WHERE reservation_id = $1",
    )
    .bind(reservation_id)
    .bind(reason)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes the row of a reservation, so that nobody else changes it before this transaction ends.
pub async fn lock_in_tx(tx: &mut Tx, reservation_id: i64) -> Result<Option<Record>, DbError> {
    let sql = concat!("UPDATE medical_record SET version = version WHERE reservation_id = $1 RETURNING ", columns!());
    Ok(sqlx::query_as(sql).bind(reservation_id).fetch_optional(&mut **tx).await?)
}

/// The same by the record's own id; tombstones have none that anybody knows.
pub async fn lock_by_id_in_tx(tx: &mut Tx, id: i64) -> Result<Option<Record>, DbError> {
    let sql = concat!(
        "UPDATE medical_record SET version = version WHERE id = $1 AND held_at IS NOT NULL RETURNING ",
        columns!()
    );
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(&mut **tx).await?)
}

/// The first confirmation of a scheduled visit, which it returns; a repeated one or one after a cancellation
/// finds nothing. Where it is treated at once, the event that says so is counted.
pub async fn confirm_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    date: Option<&VisitDate>,
    customer_id: Option<&str>,
    is_treated: bool,
    now_ms: i64,
) -> Result<Option<Record>, DbError> {
    let confirmed = sqlx::query_as(concat!(
        "UPDATE medical_record SET confirmed = 1, state = $2, events = events + $8, version = version + 1,
            updated_at = $3,
            customer_id = COALESCE(CAST($4 AS TEXT), customer_id),
            reservation_date = COALESCE(CAST($5 AS TEXT), reservation_date),
            visit_day = CASE WHEN CAST($5 AS TEXT) IS NULL THEN visit_day ELSE CAST($6 AS TEXT) END,
            visit_hour = CASE WHEN CAST($5 AS TEXT) IS NULL THEN visit_hour ELSE CAST($7 AS TEXT) END
         WHERE reservation_id = $1 AND confirmed = 0 AND state = 'SCHEDULED' RETURNING ",
        columns!()
    ))
    .bind(reservation_id)
    .bind(if is_treated { State::Treated } else { State::Scheduled }.as_str())
    .bind(now_ms)
    .bind(customer_id.map(str::to_owned))
    .bind(date.map(|date| date.text.clone()))
    .bind(date.and_then(VisitDate::day))
    .bind(date.and_then(VisitDate::hour))
    .bind(i64::from(is_treated))
    .fetch_optional(&mut **tx)
    .await?;
    Ok(confirmed)
}

/// Writes what a vet has found. A scheduled visit is treated by it, and the event that says so is counted.
pub async fn treat_in_tx(tx: &mut Tx, id: i64, findings: &Findings, now_ms: i64) -> Result<Record, DbError> {
    let treated = sqlx::query_as(concat!(
        "UPDATE medical_record SET state = 'TREATED', version = version + 1, updated_at = $2,
            events = CASE WHEN state = 'SCHEDULED' THEN events + 1 ELSE events END,
            doctor = COALESCE(CAST($3 AS TEXT), doctor),
            treatment = COALESCE(CAST($4 AS TEXT), treatment),
            medical_opinion = COALESCE(CAST($5 AS TEXT), medical_opinion)
         WHERE id = $1 RETURNING ",
        columns!()
    ))
    .bind(id)
    .bind(now_ms)
    .bind(findings.doctor.clone())
    .bind(findings.treatment.clone())
    .bind(findings.medical_opinion.clone())
    .fetch_one(&mut **tx)
    .await?;
    Ok(treated)
}

/// Leaves a tombstone, or cancels the visit that is held, counts the event that says so, and returns it.
pub async fn cancel_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    customer_id: Option<&str>,
    now_ms: i64,
) -> Result<Option<Record>, DbError> {
    sqlx::query(
        "INSERT INTO medical_record (reservation_id, state, customer_id, updated_at) VALUES ($1, 'CANCELED', $2, $3)
         ON CONFLICT (reservation_id) DO NOTHING",
    )
    .bind(reservation_id)
    .bind(customer_id.map(str::to_owned))
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    let canceled = sqlx::query_as(concat!(
        "UPDATE medical_record SET state = 'CANCELED', events = events + 1, version = version + 1, updated_at = $2
         WHERE reservation_id = $1 AND state <> 'CANCELED' RETURNING ",
        columns!()
    ))
    .bind(reservation_id)
    .bind(now_ms)
    .fetch_optional(&mut **tx)
    .await?;
    // Only now: while another transaction has the row it may still be adding one.
    sqlx::query("DELETE FROM requested_change WHERE reservation_id = $1")
        .bind(reservation_id)
        .execute(&mut **tx)
        .await?;
    Ok(canceled)
}

/// The date that the reservation has by its event, and everything settled that was requested until then.
pub async fn settle_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    date: Option<&VisitDate>,
    change_number: i64,
    now_ms: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE medical_record SET reservation_date = $2, visit_day = $3, visit_hour = $4,
            change_number = CASE WHEN change_number < $5 THEN $5 ELSE change_number END,
            version = version + 1, updated_at = $6
         WHERE reservation_id = $1 AND state <> 'CANCELED'
            AND (reservation_date IS DISTINCT FROM $2 OR change_number < $5)",
    )
    .bind(reservation_id)
    .bind(date.map(|date| date.text.clone()))
    .bind(date.and_then(VisitDate::day))
    .bind(date.and_then(VisitDate::hour))
    .bind(change_number)
    .bind(now_ms)
    .execute(&mut **tx)
    .await?;
    sqlx::query("DELETE FROM requested_change WHERE reservation_id = $1 AND change_number <= $2")
        .bind(reservation_id)
        .bind(change_number)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Holds another date beside the current one. The record's row is this transaction's already.
pub async fn request_change_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    change_number: i64,
    date: &VisitDate,
    now_ms: i64,
) -> Result<Record, DbError> {
    sqlx::query(
        "INSERT INTO requested_change (reservation_id, change_number, requested_date, visit_day, visit_hour)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(reservation_id)
    .bind(change_number)
    .bind(&date.text)
    .bind(date.day())
    .bind(date.hour())
    .execute(&mut **tx)
    .await?;
    let requested = sqlx::query_as(concat!(
        "UPDATE medical_record SET change_number = $2, version = version + 1, updated_at = $3
         WHERE reservation_id = $1 RETURNING ",
        columns!()
    ))
    .bind(reservation_id)
    .bind(change_number)
    .bind(now_ms)
    .fetch_one(&mut **tx)
    .await?;
    Ok(requested)
}

/// Lets go of a date that was just requested. Its number stays used, so that a late try holds nothing.
pub async fn refuse_change_in_tx(tx: &mut Tx, reservation_id: i64, change_number: i64) -> Result<(), DbError> {
    // The request has raised the version in this transaction, for nothing that anybody can see.
    sqlx::query("UPDATE medical_record SET version = version - 1 WHERE reservation_id = $1")
        .bind(reservation_id)
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM requested_change WHERE reservation_id = $1 AND change_number = $2")
        .bind(reservation_id)
        .bind(change_number)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The date that an unsettled change asked for.
pub async fn requested_date_in_tx(
    tx: &mut Tx,
    reservation_id: i64,
    change_number: i64,
) -> Result<Option<String>, DbError> {
    let row: Option<(String,)> =
        sqlx::query_as("SELECT requested_date FROM requested_change WHERE reservation_id = $1 AND change_number = $2")
            .bind(reservation_id)
            .bind(change_number)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row.map(|(date,)| date))
}

/// Takes a day or an hour: whoever counts its places at the same time waits for this transaction's end.
pub async fn lock_slot_in_tx(tx: &mut Tx, name: &str) -> Result<(), DbError> {
    sqlx::query("INSERT INTO slot (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = excluded.name")
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Reservations that hold a place on that day, be it now or by a change that is not settled.
pub async fn count_day_in_tx(tx: &mut Tx, day: &str) -> Result<i64, DbError> {
    let (count,) = sqlx::query_as(
        "SELECT COUNT(*) FROM (
            SELECT reservation_id FROM medical_record WHERE visit_day = $1 AND state <> 'CANCELED'
            UNION SELECT reservation_id FROM requested_change WHERE visit_day = $1) AS held",
    )
    .bind(day)
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// The same for an hour.
pub async fn count_hour_in_tx(tx: &mut Tx, hour: &str) -> Result<i64, DbError> {
    let (count,) = sqlx::query_as(
        "SELECT COUNT(*) FROM (
            SELECT reservation_id FROM medical_record WHERE visit_hour = $1 AND state <> 'CANCELED'
            UNION SELECT reservation_id FROM requested_change WHERE visit_hour = $1) AS held",
    )
    .bind(hour)
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

pub async fn get(reader: &Pool, id: i64) -> Result<Option<Record>, DbError> {
    let sql = concat!("SELECT ", columns!(), " FROM medical_record WHERE id = $1 AND held_at IS NOT NULL");
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(reader).await?)
}

/// Which records are wanted; absent is any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub reservation_id: Option<i64>,
    pub state: Option<State>,
    pub customer_id: Option<String>,
}

impl Filter {
    /// Only the conditions that are asked for, so that their indexes are used.
    fn conditions(&self) -> String {
        let mut sql = "held_at IS NOT NULL".to_owned();
        let asked = [
            ("reservation_id", self.reservation_id.is_some()),
            ("state", self.state.is_some()),
            ("customer_id", self.customer_id.is_some()),
        ];
        for (place, (column, _)) in asked.into_iter().filter(|(_, is_asked)| *is_asked).enumerate() {
            sql += &format!(" AND {column} = ${}", place + 1);
        }
        sql
    }
}

/// One page of what matches, in the order of acceptance, and how many match in all.
pub async fn list(reader: &Pool, filter: &Filter, order: Order, page: Page) -> Result<(Vec<Record>, i64), DbError> {
    let conditions = filter.conditions();
    // Numbers and one of two words: nothing of the request's text gets into the statement.
    let page = format!(
        "SELECT {} FROM medical_record WHERE {conditions} ORDER BY id {} LIMIT {} OFFSET {}",
        columns!(),
        order.sql(),
        page.size,
        page.offset()
    );
    let mut records = sqlx::query_as(AssertSqlSafe(page));
    let mut count = sqlx::query_as(AssertSqlSafe(format!("SELECT COUNT(*) FROM medical_record WHERE {conditions}")));
    if let Some(reservation_id) = filter.reservation_id {
        (records, count) = (records.bind(reservation_id), count.bind(reservation_id));
    }
    if let Some(state) = filter.state {
        (records, count) = (records.bind(state.as_str()), count.bind(state.as_str()));
    }
    if let Some(customer_id) = &filter.customer_id {
        (records, count) = (records.bind(customer_id.clone()), count.bind(customer_id.clone()));
    }
    let records = records.fetch_all(reader).await?;
    let (total,) = count.fetch_one(reader).await?;
    Ok((records, total))
}

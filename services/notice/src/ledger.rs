//! What this service says of each reservation when an operator compares the services.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use chassis::http::extract::Query;
use chassis::http::operator::{Keyset, Operator};
use chassis::http::problem::Problem;
use chassis::{Caller, Chassis, Db, DbError};
use contracts::ledger::{NoticeEntry, Salt};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(chassis: &Chassis, db: &Db) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_ledger)).with_state(Operator::new(chassis, db))
}

/// What this service knows of each reservation, in the order of their ids.
#[utoipa::path(get, path = "/actuator/ledger", tag = "operator", params(Keyset, Salt),
    responses((status = 200, body = Vec<NoticeEntry>)))]
async fn get_ledger(
    State(operator): State<Operator>,
    caller: Caller,
    Query(page): Query<Keyset>,
    Query(salt): Query<Salt>,
) -> Result<Response, Problem> {
    operator.answer(&caller, entries(&operator.db, page, &salt)).await
}

async fn entries(db: &Db, page: Keyset, salt: &Salt) -> Result<Vec<NoticeEntry>, DbError> {
    type Row = (i64, Option<String>, Option<String>, Option<String>, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT known.reservation_id, known.name, known.phone, notice.kind, COUNT(notice.id),
            COUNT(CASE WHEN notice.state = 'FAILED' THEN 1 END)
         FROM (SELECT reservation_id, name, phone FROM contact
               WHERE reservation_id > $1 ORDER BY reservation_id LIMIT $2) AS known
         LEFT JOIN notice ON notice.reservation_id = known.reservation_id
         GROUP BY known.reservation_id, known.name, known.phone, notice.kind ORDER BY known.reservation_id",
    )
    .bind(page.after())
    .bind(page.limit())
    .fetch_all(db.reader())
    .await?;
    let mut entries: Vec<NoticeEntry> = Vec::new();
    for (reservation_id, name, phone, kind, count, given_up) in rows {
        if entries.last().is_none_or(|last| last.reservation_id != reservation_id) {
            let person = salt.person(name.as_deref(), phone.as_deref());
            entries.push(NoticeEntry { reservation_id, told: BTreeMap::new(), given_up: 0, person });
        }
        if let (Some(last), Some(kind)) = (entries.last_mut(), kind) {
            last.told.insert(kind, count);
            last.given_up += given_up;
        }
    }
    Ok(entries)
}

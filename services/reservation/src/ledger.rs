//! What this service says of each reservation when an operator compares the services.

use axum::extract::State;
use axum::response::Response;
use chassis::http::extract::Query;
use chassis::http::operator::{Keyset, Operator};
use chassis::http::problem::Problem;
use chassis::{Caller, Chassis, Db, DbError};
use contracts::ledger::{ReservationEntry, Salt};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(chassis: &Chassis, db: &Db) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_ledger)).with_state(Operator::new(chassis, db))
}

/// What this service knows of each reservation, in the order of their ids.
#[utoipa::path(get, path = "/actuator/ledger", tag = "operator", params(Keyset, Salt),
    responses((status = 200, body = Vec<ReservationEntry>)))]
async fn get_ledger(
    State(operator): State<Operator>,
    caller: Caller,
    Query(page): Query<Keyset>,
    Query(salt): Query<Salt>,
) -> Result<Response, Problem> {
    operator.answer(&caller, entries(&operator.db, page, &salt)).await
}

async fn entries(db: &Db, page: Keyset, salt: &Salt) -> Result<Vec<ReservationEntry>, DbError> {
    type Row = (i64, String, String, i64, Option<i64>, String, String);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, state, reservation_date, events, decide_by, reservator_name, phone_number FROM reservation
         WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(page.after())
    .bind(page.limit())
    .fetch_all(db.reader())
    .await?;
    let entry = |(reservation_id, state, date, events, decide_by, name, phone): Row| ReservationEntry {
        reservation_id,
        state,
        date,
        events,
        decide_by,
        person: salt.person(Some(&name), Some(&phone)),
    };
    Ok(rows.into_iter().map(entry).collect())
}

//! What this service says of each reservation when an operator compares the services.

use axum::extract::State;
use axum::response::Response;
use chassis::http::extract::Query;
use chassis::http::operator::{Keyset, Operator};
use chassis::http::problem::Problem;
use chassis::{Caller, Chassis, Db, DbError};
use contracts::ledger::VisitEntry;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub fn routes(chassis: &Chassis, db: &Db) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_ledger)).with_state(Operator::new(chassis, db))
}

/// What this service knows of each reservation, in the order of their ids.
#[utoipa::path(get, path = "/actuator/ledger", tag = "operator", params(Keyset),
    responses((status = 200, body = Vec<VisitEntry>)))]
async fn get_ledger(
    State(operator): State<Operator>,
    caller: Caller,
    Query(page): Query<Keyset>,
) -> Result<Response, Problem> {
    operator.answer(&caller, entries(&operator.db, page)).await
}

async fn entries(db: &Db, page: Keyset) -> Result<Vec<VisitEntry>, DbError> {
    type Row = (i64, String, Option<String>, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT reservation_id, state, reservation_date, events FROM medical_record
         WHERE reservation_id > $1 ORDER BY reservation_id LIMIT $2",
    )
    .bind(page.after())
    .bind(page.limit())
    .fetch_all(db.reader())
    .await?;
    let entry = |(reservation_id, state, date, events): Row| VisitEntry { reservation_id, state, date, events };
    Ok(rows.into_iter().map(entry).collect())
}

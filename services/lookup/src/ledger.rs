//! What this service says of each reservation when an operator compares the services.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use axum::response::Response;
use chassis::http::extract::Query;
use chassis::http::operator::{Keyset, Operator};
use chassis::http::problem::Problem;
use chassis::{Caller, Chassis, Db, DbError};
use contracts::ledger::{Salt, ViewEntry};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::{self, Stats};
use crate::store;

pub fn routes(chassis: &Chassis, db: &Db) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_ledger)).with_state(Operator::new(chassis, db))
}

/// What this service knows of each reservation, in the order of their ids.
#[utoipa::path(get, path = "/actuator/ledger", tag = "operator", params(Keyset, Salt),
    responses((status = 200, body = Vec<ViewEntry>)))]
async fn get_ledger(
    State(operator): State<Operator>,
    caller: Caller,
    Query(page): Query<Keyset>,
    Query(salt): Query<Salt>,
) -> Result<Response, Problem> {
    operator.answer(&caller, entries(&operator.db, page, &salt)).await
}

async fn entries(db: &Db, page: Keyset, salt: &Salt) -> Result<Vec<ViewEntry>, DbError> {
    let rows = store::page(db, page.after(), page.limit()).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.reservation_id).collect();
    let mut heard: HashMap<i64, BTreeMap<String, i64>> = HashMap::new();
    for entry in store::histories(db, &ids).await? {
        *heard.entry(entry.reservation_id).or_default().entry(entry.event_type).or_default() += 1;
    }
    let code = |state: Option<domain::State>| state.map(|state| state.code().to_owned());
    let entry = |row: Stats| ViewEntry {
        heard: heard.remove(&row.reservation_id).unwrap_or_default(),
        person: salt.person(row.reservator_name.as_deref(), row.phone_number.as_deref()),
        reservation_id: row.reservation_id,
        state: code(row.state),
        date: row.reservation_date,
        fee: row.fee,
        reservation: code(row.reservation),
        treatment: code(row.treatment),
        payment: code(row.payment),
    };
    Ok(rows.into_iter().map(entry).collect())
}

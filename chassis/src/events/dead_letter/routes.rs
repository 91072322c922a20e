//! What an operator does with parked messages over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{DeadLetter, Redriven, Which, discard, list, redrive};
use crate::events::consumer::Handler;
use crate::http::extract::{Id, Json, Query};
use crate::http::problem::Problem;
use crate::{Caller, Chassis, Db};

/// In one answer at most.
const LONGEST_PAGE: i64 = 1000;

#[derive(Clone)]
struct Desk {
    db: Db,
    handler: Handler,
    operator_role: String,
}

/// For the service's protected router.
pub fn routes(chassis: &Chassis, db: &Db, handler: Handler) -> OpenApiRouter {
    let desk = Desk { db: db.clone(), handler, operator_role: chassis.config.auth.operator_role.clone() };
    OpenApiRouter::new()
        .routes(routes!(get_dead_letters))
        .routes(routes!(redrive_dead_letters))
        .routes(routes!(discard_dead_letter))
        .with_state(desk)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Those of this key only.
    key: Option<String>,
    /// The last id of the page before.
    after: Option<i64>,
}

/// Parked messages, oldest first, a thousand at most.
#[utoipa::path(get, path = "/actuator/dead-letters", tag = "operator", params(ListQuery),
    responses((status = 200, body = Vec<DeadLetter>)))]
async fn get_dead_letters(
    State(desk): State<Desk>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    caller.require_any(&[&desk.operator_role])?;
    let letters = list(&desk.db, query.key.as_deref(), query.after.unwrap_or(0), LONGEST_PAGE).await;
    Ok(axum::Json(letters.map_err(|error| Problem::internal(&error))?).into_response())
}

/// Process all parked messages again, each key in its order.
#[utoipa::path(post, path = "/actuator/dead-letters/redrive", tag = "operator", responses((status = 200, body = Redriven)))]
async fn redrive_dead_letters(State(desk): State<Desk>, caller: Caller) -> Result<Response, Problem> {
    caller.require_any(&[&desk.operator_role])?;
    let outcome = redrive(&desk.db, &desk.handler, &Which::All).await.map_err(|error| Problem::internal(&error))?;
    Ok(axum::Json(outcome).into_response())
}

/// Why a message is given up.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
struct Discarding {
    reason: String,
}

/// Give a parked message up; the reason is kept.
#[utoipa::path(delete, path = "/actuator/dead-letters/{id}", tag = "operator", request_body = Discarding,
    params(("id" = i64, Path)), responses((status = 204)))]
async fn discard_dead_letter(
    State(desk): State<Desk>,
    caller: Caller,
    Id(id): Id,
    Json(discarding): Json<Discarding>,
) -> Result<Response, Problem> {
    caller.require_any(&[&desk.operator_role])?;
    if !discard(&desk.db, id, &discarding.reason).await.map_err(|error| Problem::internal(&error))? {
        return Err(Problem::not_found());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

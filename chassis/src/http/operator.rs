//! What routes for operators share: who may use them, and pages by key.

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::problem::Problem;
use crate::{Caller, Chassis, Db, DbError};

/// In one answer at most.
const LONGEST_PAGE: i64 = 1000;

/// The state of a route for operators.
#[derive(Clone)]
pub struct Operator {
    pub db: Db,
    role: String,
}

impl Operator {
    pub fn new(chassis: &Chassis, db: &Db) -> Self {
        Self { db: db.clone(), role: chassis.config.auth.operator_role.clone() }
    }

    /// What an operator has asked for; nobody else gets it, or has it looked up.
    pub async fn answer<T: Serialize>(
        &self,
        caller: &Caller,
        asked: impl Future<Output = Result<T, DbError>>,
    ) -> Result<Response, Problem> {
        caller.require_any(&[&self.role])?;
        let answer = asked.await.map_err(|error| Problem::internal(&error))?;
        Ok(axum::Json(answer).into_response())
    }
}

/// A page by key: it costs the same however far on it is.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Keyset {
    /// The last id of the page before.
    after: Option<i64>,
    /// How many at most, up to 1000.
    limit: Option<i64>,
}

impl Keyset {
    pub fn after(self) -> i64 {
        self.after.unwrap_or(0)
    }

    pub fn limit(self) -> i64 {
        self.limit.unwrap_or(LONGEST_PAGE).clamp(1, LONGEST_PAGE)
    }
}

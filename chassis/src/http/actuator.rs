//! Probes and metrics, for the platform: no token, nothing personal.
//!
//! Liveness looks at the process only; readiness at draining (migrations are done before the first answer);
//! health shows each part, and is 200 as long as the process serves, because the service goes on without Kafka.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::problem::Problem;
use crate::telemetry::Measurements;
use crate::{About, Chassis, Lifecycle};

#[derive(Clone)]
struct Actuator {
    about: About,
    lifecycle: Lifecycle,
    metrics: PrometheusHandle,
    measurements: Measurements,
}

pub fn router(chassis: &Chassis, metrics: PrometheusHandle) -> Router {
    let actuator = Actuator {
        about: chassis.about,
        lifecycle: chassis.lifecycle.clone(),
        metrics,
        measurements: chassis.measurements.clone(),
    };
    Router::new()
        .route("/actuator/health", get(health))
        .route("/actuator/health/liveness", get(liveness))
        .route("/actuator/health/readiness", get(readiness))
        .route("/actuator/info", get(info))
        .route("/metrics", get(render_metrics))
        .with_state(actuator)
}

async fn health(State(actuator): State<Actuator>) -> Response {
    if actuator.lifecycle.is_draining() {
        return draining();
    }
    let parts = actuator.lifecycle.health();
    let status = if parts.values().all(Option::is_none) { "UP" } else { "DEGRADED" };
    let components: serde_json::Map<_, _> = parts
        .into_iter()
        .map(|(part, trouble)| {
            let state = match trouble {
                None => json!({"status": "UP"}),
                Some(reason) => json!({"status": "DOWN", "reason": reason}),
            };
            (part.to_owned(), state)
        })
        .collect();
    Json(json!({"status": status, "components": components})).into_response()
}

async fn liveness() -> Json<serde_json::Value> {
    Json(json!({"status": "UP"}))
}

async fn readiness(State(actuator): State<Actuator>) -> Response {
    if actuator.lifecycle.is_draining() {
        return draining();
    }
    Json(json!({"status": "UP"})).into_response()
}

fn draining() -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining").detail("This instance is stopping.").into_response()
}

async fn info(State(actuator): State<Actuator>) -> Json<serde_json::Value> {
    Json(json!({"name": actuator.about.name, "version": actuator.about.version}))
}

async fn render_metrics(State(actuator): State<Actuator>) -> impl IntoResponse {
    actuator.measurements.take().await;
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], actuator.metrics.render())
}

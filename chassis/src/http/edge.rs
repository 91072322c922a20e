//! The outermost layer of every service: header limit, request id, trace context, RED metrics, panics.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::problem::Problem;
use super::trace::{REQUEST_ID, TraceContext};
use crate::Lifecycle;
use crate::telemetry::{Kind, Span};

/// The sum of names and values that is accepted.
const HEADER_LIMIT: usize = 16 * 1024;

pub async fn edge(State(lifecycle): State<Lifecycle>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let mut step = step(request.headers(), &method, &route);
    let context = step.context();
    let request_id = request_id(request.headers());
    request.headers_mut().insert(REQUEST_ID, request_id.clone());

    let span =
        tracing::info_span!("request", http.request.method = %method, http.route = route, trace_id = %context.trace());
    let mut response = if header_bytes(request.headers()) > HEADER_LIMIT {
        Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large")
            .detail(format!("The headers are larger than {HEADER_LIMIT} bytes."))
            .into_response()
    } else {
        context.scope(next.run(request).instrument(span)).await
    };

    step.answered(response.status().as_u16());
    response.headers_mut().insert(REQUEST_ID, request_id);
    if lifecycle.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => known(&method),
        "http_route" => route,
        "http_response_status_code" => response.status().as_u16().to_string()
    )
    .record(started.elapsed());
    response
}

/// The request as a span of its trace. The platform asks for some paths every few seconds: those begin none.
fn step(headers: &HeaderMap, method: &Method, route: &str) -> Span {
    let is_platforms = route == "/metrics" || route.starts_with("/actuator/health");
    let caller = TraceContext::of_caller(headers);
    let parent = caller.or_else(|| is_platforms.then(TraceContext::unrecorded));
    let method = known(method);
    let mut span = Span::begin(Kind::Server, parent, || format!("{method} {route}"));
    span.set("http.request.method", method);
    span.set("http.route", route);
    span
}

/// A client may send any word as a method; each would be a series of its own.
pub fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// The caller's id if it is a plain short word, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |value: &&HeaderValue| {
        (1..=64).contains(&value.len())
            && value.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    headers.get(REQUEST_ID).filter(is_plain).cloned().unwrap_or_else(|| {
        HeaderValue::try_from(format!("{:016x}", rand::random::<u64>())).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// A panic in a handler is a bug: an opaque 500 for this request, a log for us, and the process goes on.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let reason = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(reason, "a handler panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
        .detail("Something went wrong here; it has been logged.")
        .into_response()
}

//! The OpenAPI document at `/openapi.json` and a page to read and try it at `/docs`.

use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{Info, OpenApi, RefOr};

use crate::About;

const PAGE: &str = include_str!("docs.html");

const DOCUMENT_PATH: &str = "/openapi.json";

/// A service whose own routes have `/openapi.json` (a gateway shows those behind it too) serves it itself.
pub fn router(about: About, mut document: OpenApi) -> Router {
    let router = Router::new().route("/docs", get(async || Html(PAGE)));
    if document.paths.paths.contains_key(DOCUMENT_PATH) {
        return router;
    }
    describe_responses(&mut document);
    document.info = Info::new(about.name, about.version);
    document.info.description = Some(about.summary.to_owned());
    router.route(DOCUMENT_PATH, get(async move || Json(document.clone())))
}

/// A response needs a description; where a route gives none, its status says it.
fn describe_responses(document: &mut OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            if response.description.is_empty() {
                let reason = status.parse::<u16>().ok().and_then(|status| StatusCode::from_u16(status).ok());
                response.description = reason.and_then(|status| status.canonical_reason()).unwrap_or(status).to_owned();
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

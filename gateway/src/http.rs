//! What the gateway has under its own addresses, and the routes that lead on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, http::header};
use chassis::http::hal::{self, Link, Links};
use chassis::http::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::Error;
use crate::headers::Arrival;
use crate::proxy::{self, Proxied};
use crate::{App, limits, openapi};

pub fn routes(app: Arc<App>) -> OpenApiRouter {
    let own = OpenApiRouter::new().routes(routes!(get_index)).routes(routes!(get_document)).with_state(app.clone());
    app.routes.iter().fold(own, |router, route| {
        let handler = any(proxy::handle).with_state(Proxied { app: app.clone(), route: route.clone() });
        router.route(&route.path, handler.clone()).route(&format!("{}/{{*below}}", route.path), handler)
    })
}

#[derive(Debug, Serialize, ToSchema)]
struct Index {
    #[serde(rename = "_links")]
    links: Links,
}

/// What there is here; the links are relative, so they hold wherever the gateway is reached.
#[utoipa::path(get, path = "/", tag = "gateway", responses((status = 200, body = Index)))]
async fn get_index(State(app): State<Arc<App>>) -> Response {
    let routed = app.routes.iter().map(|route| (route.path.trim_start_matches('/'), route.path.as_str()));
    let own = [("self", "/"), ("docs", "/docs"), ("openapi", "/openapi.json")];
    let links: BTreeMap<_, _> =
        routed.chain(own).map(|(rel, href)| (rel.to_owned(), Link { href: href.to_owned() })).collect();
    ([(header::CONTENT_TYPE, hal::MEDIA_TYPE)], Json(Index { links })).into_response()
}

/// The document of all services that are reached here.
#[utoipa::path(get, path = "/openapi.json", tag = "gateway", responses((status = 200, description = "OpenAPI 3.1")))]
async fn get_document(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    // One question here is one for every service.
    let arrival = Arrival { peer: proxy::peer(&parts), trust_forwarded: app.trust_forwarded };
    let client = limits::Client::at(arrival.client(&parts.headers));
    app.rate_limit.take(client, Instant::now()).map_err(|wait| Error::TooMany { wait })?;
    Ok(Json(openapi::document(&app).await).into_response())
}

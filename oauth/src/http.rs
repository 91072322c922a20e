//! The routes: tokens, keys and discovery for everyone, key rotation for an administrator.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use chassis::failpoint::crash_point;
use chassis::http::problem::ProblemBody;
use chassis::{Caller, Problem, auth};
use contracts::roles;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::App;
use crate::clients;
use crate::domain::ROLES;
use crate::error::{Error, ErrorBody};
use crate::form::Form;
use crate::token::{self, TokenAnswer};

/// Far shorter than a new key is announced before it signs.
const KEYS_CACHE: &str = "public, max-age=60";

pub fn router(app: App) -> OpenApiRouter {
    let verifier = app.verifier.clone();
    let protected = OpenApiRouter::new().routes(routes!(rotate));
    let public = OpenApiRouter::new()
        .routes(routes!(issue))
        .routes(routes!(jwks))
        .routes(routes!(openid_configuration))
        .routes(routes!(oauth_metadata))
        .with_state(app.clone());
    public.merge(auth::protect(&verifier, protected.with_state(app)))
}

/// What a token request can hold. The client shows its id and secret here or by HTTP Basic.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the form in the API document; the form itself is read more strictly")]
struct TokenForm {
    /// client_credentials, password or refresh_token
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    username: Option<String>,
    password: Option<String>,
    refresh_token: Option<String>,
    /// Fewer roles than the token would carry otherwise.
    scope: Option<String>,
}

/// Issues a token.
#[utoipa::path(
    post, path = "/oauth/token", tag = "tokens",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = TokenAnswer),
        (status = 400, body = ErrorBody, description = "invalid_request, invalid_grant, unauthorized_client, unsupported_grant_type or invalid_scope"),
        (status = 401, body = ErrorBody, description = "invalid_client"),
        (status = 413, body = ErrorBody, description = "The body is too large"),
        (status = 415, body = ErrorBody, description = "The body is no form"),
        (status = 429, body = ErrorBody, description = "Too many wrong passwords"),
        (status = 503, body = ErrorBody, description = "temporarily_unavailable"),
    )
)]
async fn issue(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Error> {
    let body = body.map_err(unreadable)?;
    let form = Form::parse(&headers, &body)?;
    let client = clients::authenticate(&app.users.directory(), &headers, &form)?;
    crash_point("token.before-grant");
    let granted = token::grant(&app, &client, &form).await;
    crash_point("token.after-grant");
    let answer = granted?;
    Ok(([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(answer)))
}

fn unreadable(rejection: BytesRejection) -> Error {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::TooLarge;
    }
    Error::InvalidRequest("The body ended before it was complete.")
}

/// The public keys of tokens.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "discovery",
    responses((status = 200, description = "A JSON Web Key Set", body = serde_json::Value)))]
async fn jwks(State(app): State<App>) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, KEYS_CACHE)], Json(app.keys.published()))
}

/// Where everything is, after RFC 8414.
#[derive(Serialize, ToSchema)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: [&'static str; 3],
    scopes_supported: [&'static str; 5],
    response_types_supported: [&'static str; 0],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
}

/// The discovery document, where OpenID Connect looks for it.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "discovery",
    responses((status = 200, body = Metadata)))]
async fn openid_configuration(State(app): State<App>) -> impl IntoResponse {
    metadata(&app)
}

/// The discovery document, where RFC 8414 looks for it.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "discovery",
    responses((status = 200, body = Metadata)))]
async fn oauth_metadata(State(app): State<App>) -> impl IntoResponse {
    metadata(&app)
}

fn metadata(app: &App) -> ([(HeaderName, &'static str); 1], Json<Metadata>) {
    let issuer = app.config.issuer.url.clone();
    let mut grants = vec!["client_credentials", "refresh_token"];
    if app.config.grants.password {
        grants.push("password");
    }
    let metadata = Metadata {
        token_endpoint: format!("{issuer}/oauth/token"),
        jwks_uri: jwks_uri(&issuer),
        issuer,
        grant_types_supported: grants,
        token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
        scopes_supported: ROLES,
        response_types_supported: [],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["ES256"],
    };
    ([(header::CACHE_CONTROL, KEYS_CACHE)], Json(metadata))
}

pub fn jwks_uri(issuer: &str) -> String {
    format!("{issuer}/.well-known/jwks.json")
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RotationAnswer {
    /// The key that signs next.
    kid: String,
    #[schema(value_type = String, example = "2026-11-21T09:10:00Z")]
    active_from: Timestamp,
}

/// Announces a new signing key; while one is announced already, says which.
#[utoipa::path(post, path = "/oauth/keys/rotate", tag = "keys",
    responses((status = 200, body = RotationAnswer), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)))]
async fn rotate(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    caller.require_any(&[roles::ADMIN])?;
    crash_point("keys.before-rotate");
    let rotated = app.keys.rotate().await;
    crash_point("keys.after-rotate");
    let announced = rotated?;
    let active_from = Timestamp::from_millisecond(announced.active_from).unwrap_or_default();
    Ok(Json(RotationAnswer { kid: announced.kid, active_from }))
}

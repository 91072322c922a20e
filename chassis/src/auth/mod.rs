//! Who is calling: bearer tokens verified by every service itself, and the `Caller` that handlers see.

mod jwks;
mod verifier;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;

use crate::http::problem::Problem;

pub use verifier::{Claims, Verifier};

/// A verified caller. In open mode one without a token may do everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub subject: Arc<str>,
    roles: Arc<[String]>,
    is_anonymous: bool,
}

impl Caller {
    pub fn new(subject: &str, roles: impl IntoIterator<Item = String>) -> Self {
        Self { subject: subject.into(), roles: roles.into_iter().collect(), is_anonymous: false }
    }

    /// Whoever calls without a token in open mode.
    pub fn anonymous() -> Self {
        Self { subject: "anonymous".into(), roles: Arc::new([]), is_anonymous: true }
    }

    pub fn has_any(&self, roles: &[&str]) -> bool {
        self.is_anonymous || self.roles.iter().any(|role| roles.contains(&role.as_str()))
    }

    pub fn require_any(&self, roles: &[&str]) -> Result<(), Problem> {
        if self.has_any(roles) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("This needs one of the roles: {}.", roles.join(", "))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::token_required)
    }
}

/// Puts every route of `api` behind a token.
pub fn protect(verifier: &Verifier, api: OpenApiRouter) -> OpenApiRouter {
    api.route_layer(from_fn_with_state(verifier.clone(), authenticate))
}

async fn authenticate(State(verifier): State<Verifier>, mut request: Request, next: Next) -> Response {
    match verifier.caller(request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// The token of `Authorization: Bearer`; the scheme's case does not matter.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match token {
        Some((_, token)) => Ok(Some(token.trim())),
        None => Err(Problem::invalid_token("Authorization must be a bearer token.")),
    }
}

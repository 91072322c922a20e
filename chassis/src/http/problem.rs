//! RFC 9457 problem details: the one shape of every error answer.

use std::borrow::Cow;
use std::error::Error;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::client::NOT_DONE_HEADER;

pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error as the client sees it.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    pub body: ProblemBody,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// What kind of problem it is; stable, for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:problem:invalid-fields")]
    pub kind: Cow<'static, str>,
    pub title: Cow<'static, str>,
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong this time, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Each field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub struct FieldError {
    #[schema(example = "phoneNumber")]
    pub field: String,
    #[schema(example = "must not be blank")]
    pub detail: String,
}

/// The `type` of a problem.
pub fn kind(name: &str) -> String {
    format!("urn:problem:{name}")
}

impl FieldError {
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

impl Problem {
    /// `kind` is the last part of the type URN; the title is the status's own words.
    pub fn new(status: StatusCode, kind: &str) -> Self {
        Self {
            status,
            body: ProblemBody {
                kind: Cow::Owned(self::kind(kind)),
                title: Cow::Borrowed(status.canonical_reason().unwrap_or("Error")),
                status: status.as_u16(),
                detail: None,
                errors: Vec::new(),
            },
            headers: Vec::new(),
        }
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.body.detail = Some(detail.into());
        self
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request").detail(detail)
    }

    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-fields");
        let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        problem.body.detail = Some(format!("Not acceptable: {}.", names.join(", ")));
        problem.body.errors = errors;
        problem
    }

    pub fn invalid_field(field: &str, detail: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError::new(field, detail)])
    }

    /// No token was brought; RFC 6750 wants a bare challenge then.
    pub fn token_required() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized")
            .detail("A token is required.")
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// The token that was brought does not count.
    pub fn invalid_token(detail: &'static str) -> Self {
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized").detail(detail).header(
            header::WWW_AUTHENTICATE,
            HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer")),
        )
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden").detail(detail)
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found").detail("There is nothing at this address.")
    }

    pub fn conflict(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind).detail(detail)
    }

    pub fn precondition_failed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed")
            .detail("It has changed since you read it; read it again and repeat.")
    }

    /// Says to another service that nothing was done, so that it need not find out.
    pub fn not_done(self) -> Self {
        self.header(HeaderName::from_static(NOT_DONE_HEADER), HeaderValue::from_static("true"))
    }

    /// A repetition after a moment may succeed.
    pub fn unavailable(kind: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind).detail(detail).retry_after(2)
    }

    /// Opaque outside; logged once, here, with its whole chain of causes.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            .detail("Something went wrong here; it has been logged.")
    }
}

/// An error and its causes in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA_TYPE);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

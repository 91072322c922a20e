//! What can go wrong with a token request, in the words of RFC 6749.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chassis::http::problem::chain;
use chassis::{DbError, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::keys::KeyError;
use crate::passwords::PasswordError;

/// How long a client waits before it repeats what was not done.
const RETRY_AFTER_SECONDS: i64 = 2;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("The body must be application/x-www-form-urlencoded.")]
    WrongMedia,
    #[error("The body is too large.")]
    TooLarge,
    #[error("The client is not known, or this is not its secret.")]
    InvalidClient,
    #[error("{0}")]
    InvalidGrant(&'static str),
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    #[error("{0}")]
    UnsupportedGrant(&'static str),
    #[error("The scope asks for more than can be given.")]
    InvalidScope,
    #[error("Too many wrong passwords; wait before the next.")]
    TooManyGuesses { retry_after: i64 },
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// An error answer of RFC 6749, section 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    #[schema(example = "invalid_grant")]
    error: &'static str,
    error_description: String,
}

impl Error {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::WrongMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::InvalidGrant(_) => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::UnauthorizedClient(_) => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            Self::UnsupportedGrant(_) => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
            Self::TooManyGuesses { .. } => (StatusCode::TOO_MANY_REQUESTS, "invalid_grant"),
            Self::Password(PasswordError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Self::Keys(KeyError::Db(error)) | Self::Db(error) if error.is_transient() => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
            Self::Password(_) | Self::Keys(_) | Self::Db(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    /// What the client is told: of our own troubles only that there are some.
    fn description(&self, status: StatusCode) -> String {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => "No token can be had at the moment.".to_owned(),
            StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong here; it has been logged.".to_owned(),
            _ => self.to_string(),
        }
    }

    fn retry_after(&self, status: StatusCode) -> Option<i64> {
        match self {
            Self::TooManyGuesses { retry_after } => Some(*retry_after),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, error) = self.status_and_code();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => tracing::warn!(error = chain(&self), "no token can be had"),
            StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(error = chain(&self), "a token request failed"),
            _ => {}
        }
        metrics::counter!("oauth_token_requests_refused_total", "error" => error).increment(1);
        let body = ErrorBody { error, error_description: self.description(status) };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"oauth\""));
        }
        if let Some(seconds) = self.retry_after(status) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The key routes answer as every other service does.
impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match &error {
            KeyError::Db(cause) if cause.is_transient() => {
                Self::unavailable("database-unavailable", "The database cannot be reached at the moment.")
            }
            KeyError::Db(_) | KeyError::Missing | KeyError::Crypto(_) => Self::internal(&error),
        }
    }
}

use std::time::Duration;

use axum::http::StatusCode;
use chassis::http::admission::overloaded;
use chassis::http::extract::BODY_LIMIT;
use chassis::http::problem::Problem;

/// Why a request got no answer of its service. `is_safe`: whether it could have changed anything there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no valid token")]
    Token(Problem),
    #[error("too many requests of one client")]
    TooMany { wait: Duration },
    #[error("{service} has all the requests that it may have at once")]
    Overloaded { service: String },
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body broke off")]
    BodyBroken,
    #[error("the client did not send its body in time")]
    BodyLate,
    #[error("a transfer coding that is not known here")]
    TransferCoding,
    #[error("{service} cannot be reached")]
    Unavailable { service: String },
    #[error("{service} gave no answer")]
    Failed { service: String, is_safe: bool },
    #[error("{service} did not answer in time")]
    Timeout { service: String, is_safe: bool },
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Token(problem) => problem,
            Error::TooMany { wait } => Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests")
                .detail("You send more requests than one client may; please wait a moment.")
                .retry_after(u32::try_from(wait.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX)),
            Error::Overloaded { service } => {
                overloaded(format!("The service {service} has more to do at the moment than it can."))
            }
            Error::BodyTooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
                .detail(format!("The body is larger than {BODY_LIMIT} bytes.")),
            Error::BodyBroken => Self::bad_request("The body ended before it was complete."),
            Error::BodyLate => Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout")
                .detail("The body of the request did not arrive in time."),
            Error::TransferCoding => Self::new(StatusCode::NOT_IMPLEMENTED, "transfer-coding")
                .detail("Of transfer codings only chunked is known here."),
            Error::Unavailable { service } => Self::unavailable(
                "upstream-unavailable",
                format!("The service {service} is not available at the moment."),
            ),
            Error::Failed { service, is_safe } => Self::new(StatusCode::BAD_GATEWAY, "upstream-failed")
                .detail(format!("The service {service} broke off before it answered.{}", doubt(is_safe))),
            Error::Timeout { service, is_safe } => Self::new(StatusCode::GATEWAY_TIMEOUT, "upstream-timeout")
                .detail(format!("The service {service} did not answer in time.{}", doubt(is_safe))),
        }
    }
}

fn doubt(is_safe: bool) -> &'static str {
    if is_safe { "" } else { " It may or may not have done what was asked." }
}

use axum::http::StatusCode;
use chassis::DbError;
use chassis::http::problem::{FieldError, Problem};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such reservation, or not the caller's")]
    NotFound,
    #[error("fields that are not acceptable")]
    Invalid(Vec<FieldError>),
    #[error("changed since it was read")]
    Stale(Problem),
    #[error("a {0} reservation cannot be changed")]
    NotChangeable(&'static str),
    #[error("an earlier change of date has no answer yet")]
    ChangeInProgress,
    #[error("the clinic refused: {0}")]
    Refused(String),
    #[error("cancelled while it was being worked on")]
    CanceledMeanwhile,
    #[error("diagnosis cannot be asked")]
    DiagnosisUnavailable,
    #[error("the idempotency key is in use")]
    IdempotencyKey(Problem),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Invalid(errors) => Self::invalid_fields(errors.clone()),
            Error::Stale(problem) | Error::IdempotencyKey(problem) => problem.clone(),
            Error::NotChangeable(state) => {
                Self::conflict("not-changeable", format!("A reservation that is {state} cannot be changed."))
            }
            Error::ChangeInProgress => {
                Self::conflict("change-in-progress", "An earlier change of date is still being confirmed.")
                    .retry_after(5)
            }
            Error::Refused(reason) => Self::conflict("visit-refused", reason.clone()),
            Error::CanceledMeanwhile => {
                Self::conflict("canceled-meanwhile", "The reservation was cancelled while it was being worked on.")
            }
            Error::DiagnosisUnavailable => Self::unavailable(
                "diagnosis-unavailable",
                "The clinic cannot say at the moment whether it can treat then. Nothing was reserved or changed; please try again shortly.",
            ),
            Error::Db(error) if error.is_transient() => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage-unavailable")
                    .detail("The reservations cannot be reached at the moment.")
                    .retry_after(2)
            }
            Error::Db(error) => Self::internal(error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

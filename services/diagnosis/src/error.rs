use chassis::http::admission::overloaded;
use chassis::{DbError, Problem};
use contracts::visits;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such medical record")]
    NotFound,
    #[error("the clinic cannot treat then: {0}")]
    Refused(String),
    #[error("the reservation was cancelled")]
    Canceled,
    #[error("the reservation is not confirmed yet")]
    NotConfirmed,
    #[error("it has changed since it was read")]
    Changed,
    #[error("the caller no longer waits")]
    TooLate,
    #[error("too many visits are being accepted at once")]
    Overloaded,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Problem::not_found(),
            Error::Refused(reason) => Problem::conflict(visits::REFUSED, reason),
            Error::Canceled => Problem::conflict(visits::CANCELED, "The reservation was cancelled."),
            Error::NotConfirmed => {
                Problem::conflict("visit-not-confirmed", "The reservation is not confirmed yet; try again in a moment.")
            }
            Error::Changed => Problem::precondition_failed(),
            Error::TooLate => {
                Problem::unavailable("too-late", "The time that you wait for an answer had passed before it began.")
                    .not_done()
            }
            Error::Overloaded => overloaded("Too many visits are being accepted at the moment."),
            // Not marked as not done: it may have been the commit that failed.
            Error::Db(error) if error.is_transient() => {
                tracing::warn!(error = chassis::http::problem::chain(&error), "the database is in trouble");
                Problem::unavailable("database-unavailable", "The database cannot be reached at the moment.")
            }
            Error::Db(error) => Problem::internal(&error),
        }
    }
}

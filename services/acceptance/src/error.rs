use chassis::DbError;
use chassis::http::problem::Problem;

use crate::domain::Refusal;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such bill, or not the caller's")]
    NotFound,
    #[error("changed since it was read")]
    Stale(Problem),
    #[error("the amount is not the fee, {fee}")]
    WrongAmount { fee: i64 },
    #[error("not possible in its state")]
    Refused(#[from] Refusal),
    #[error("the idempotency key is in use")]
    IdempotencyKey(Problem),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Stale(problem) | Error::IdempotencyKey(problem) => problem,
            Error::WrongAmount { fee } => Self::invalid_field("amount", format!("must be the fee, {fee}")),
            Error::Refused(refusal) => {
                let kind = match refusal {
                    Refusal::AlreadyPaid => "already-paid",
                    Refusal::PaidNotVoidable => "paid",
                    Refusal::UnpaidNotRefundable => "unpaid",
                    Refusal::Closed => "bill-closed",
                };
                Self::conflict(kind, refusal.to_string())
            }
            Error::Db(error) if error.is_transient() => {
                Self::unavailable("storage-unavailable", "The bills cannot be reached at the moment.")
            }
            Error::Db(error) => Self::internal(&error),
        }
    }
}

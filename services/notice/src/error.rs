use chassis::DbError;
use chassis::http::problem::Problem;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such notice, or not the caller's")]
    NotFound,
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Db(error) if error.is_transient() => {
                Self::unavailable("storage-unavailable", "The notices cannot be reached at the moment.")
            }
            Error::Db(error) => Self::internal(&error),
        }
    }
}

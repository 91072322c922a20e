use axum::http::StatusCode;
use chassis::DbError;
use chassis::http::problem::{FieldError, Problem};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such reservation, or not the caller's")]
    NotFound,
    #[error("query parameters that are not acceptable")]
    Query(Vec<FieldError>),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Query(errors) => {
                let names: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
                let mut problem = Self::new(StatusCode::BAD_REQUEST, "invalid-query")
                    .detail(format!("Not acceptable: {}.", names.join(", ")));
                problem.body.errors = errors;
                problem
            }
            Error::Db(error) if error.is_transient() => {
                Self::unavailable("storage-unavailable", "The view cannot be read at the moment.")
            }
            Error::Db(error) => Self::internal(&error),
        }
    }
}

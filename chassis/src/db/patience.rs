//! How long an answer of a database may take. A server may go away without a word, with its machine or its pod, and TCP
//! waits for it for a quarter of an hour.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sqlx::Error;

use super::connection::Streamed;

/// No statement of a service takes so long; one that waits for a lock is begun again.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The same where a statement goes through whole tables.
pub const LONG_PATIENCE: Duration = Duration::from_secs(3600);

/// An answer of a server, or the news that it does not answer.
pub async fn in_time<T>(patience: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(no_answer(patience)))
}

/// The same for each part of an answer; after one that did not come there is no other.
pub fn each_in_time<'e>(patience: Duration, parts: Streamed<'e>) -> Streamed<'e> {
    stream::unfold(Some(parts), move |parts: Option<Streamed<'e>>| async move {
        let mut parts = parts?;
        match tokio::time::timeout(patience, parts.next()).await {
            Ok(part) => part.map(|part| (part, Some(parts))),
            Err(_) => Some((Err(no_answer(patience)), None)),
        }
    })
    .boxed()
}

fn no_answer(patience: Duration) -> Error {
    let seconds = patience.as_secs();
    Error::Io(std::io::Error::new(ErrorKind::TimedOut, format!("the database did not answer within {seconds} s")))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use sqlx::Either;
    use sqlx::any::AnyQueryResult;

    use super::*;
    use crate::DbError;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_went_away_without_a_word_is_not_waited_for() {
        let silent = in_time(PATIENCE, std::future::pending::<Result<(), Error>>()).await;
        assert!(DbError::from(silent.unwrap_err()).is_transient());

        let first = stream::once(ready(Ok(Either::Left(AnyQueryResult::default()))));
        let parts: Vec<_> = each_in_time(PATIENCE, first.chain(stream::pending()).boxed()).collect().await;
        assert!(matches!(&parts[..], [Ok(_), Err(Error::Io(error))] if error.kind() == ErrorKind::TimedOut));
    }
}

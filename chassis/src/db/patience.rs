//! How long an answer of a database may take. A server may go away without a word, with its machine or its pod, and TCP
//! waits for it for a quarter of an hour.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sqlx::Error;
use tokio::time::Instant;

use super::connection::Streamed;

/// No statement of a service takes so long; one that waits for a lock is begun again.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The same where a statement goes through whole tables.
pub const LONG_PATIENCE: Duration = Duration::from_secs(3600);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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

/// Tries again while the fault is one that passes, after pauses that grow, as long as there is time.
pub async fn until_it_passes<T, F: Future<Output = Result<T, Error>>>(
    limit: Duration,
    passes: fn(&Error) -> bool,
    attempt: impl Fn() -> F,
) -> Result<T, Error> {
    let (until, mut pause) = (Instant::now() + limit, FIRST_PAUSE);
    loop {
        match attempt().await {
            Err(error) if passes(&error) && Instant::now() + pause < until => {}
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn no_answer(patience: Duration) -> Error {
    Error::Io(std::io::Error::new(ErrorKind::TimedOut, format!("the database did not answer within {patience:?}")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
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

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_as_long_as_there_is_time_and_nothing_else_is() {
        let tries = Cell::new(0);
        let refused_twice = || async {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(Error::PoolTimedOut) } else { Ok(()) }
        };
        until_it_passes(Duration::from_secs(1), |_| true, refused_twice).await.unwrap();
        assert_eq!(tries.get(), 3);

        let always_refused = || async {
            tries.set(tries.get() + 1);
            Err::<(), _>(Error::PoolTimedOut)
        };
        let begun = Instant::now();
        until_it_passes(Duration::from_secs(1), |_| true, always_refused).await.unwrap_err();
        assert!(tries.get() > 4 && begun.elapsed() < Duration::from_secs(1));

        tries.set(0);
        until_it_passes(Duration::from_secs(1), |_| false, always_refused).await.unwrap_err();
        assert_eq!(tries.get(), 1);
    }
}

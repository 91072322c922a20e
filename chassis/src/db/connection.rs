//! The connection that a transaction has: one of sqlx's pool, or the writer's own to a SQLite file.

use std::future::ready;
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{Any, Either, Error, Execute, Executor, SqlStr};

use super::BoxFuture;
use super::sqlite::{Executed, SqliteConnection};

/// For an answer of a server. One that went away without a word, with its machine or its pod, would be waited for until
/// TCP gives up, which takes a quarter of an hour. No statement of a service takes so long; one that waits for a lock is
/// begun again.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The same where a statement goes through whole tables.
pub const LONG_PATIENCE: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub enum TxConnection {
    Pooled(PoolConnection<Any>, Duration),
    Sqlite(SqliteConnection),
}

type Streamed<'e> = stream::BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>;

impl<'c> Executor<'c> for &'c mut TxConnection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Streamed<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self {
            TxConnection::Pooled(connection, patience) => {
                each_in_time(*patience, (&mut **connection).fetch_many(query))
            }
            TxConnection::Sqlite(connection) => match execute(connection, query) {
                Ok(executed) => {
                    let rows = stream::iter(executed.rows.into_iter().map(|row| Ok(Either::Right(row))));
                    rows.chain(stream::once(ready(Ok(Either::Left(executed.result))))).boxed()
                }
                Err(error) => stream::once(ready(Err(error))).boxed(),
            },
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self {
            TxConnection::Pooled(connection, patience) => {
                in_time(*patience, (&mut **connection).fetch_optional(query)).boxed()
            }
            TxConnection::Sqlite(connection) => {
                ready(execute(connection, query).map(|executed| executed.rows.into_iter().next())).boxed()
            }
        }
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        match self {
            TxConnection::Pooled(connection, patience) => {
                in_time(*patience, (&mut **connection).prepare_with(sql, types)).boxed()
            }
            // It keeps what it has prepared by itself.
            TxConnection::Sqlite(_) => {
                ready(Err(Error::Protocol("statements are not prepared by hand".to_owned()))).boxed()
            }
        }
    }
}

/// An answer of a server, or the news that it does not answer.
pub async fn in_time<T>(patience: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| Err(no_answer(patience)))
}

/// The same for each part of an answer; after one that did not come there is no other.
fn each_in_time<'e>(patience: Duration, parts: Streamed<'e>) -> Streamed<'e> {
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

fn execute<'q>(connection: &mut SqliteConnection, mut query: impl Execute<'q, Any>) -> Result<Executed, Error> {
    let arguments = query.take_arguments().map_err(Error::Encode)?;
    let is_kept = query.persistent();
    connection.execute(query.sql().as_str(), is_kept, arguments)
}

#[cfg(test)]
mod tests {
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

//! The connection that a transaction has: one of the pool, or the writer's own to a SQLite file.

use std::future::ready;

use futures_util::{FutureExt, StreamExt, stream};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, Either, Error, Execute, Executor, SqlStr};

use super::BoxFuture;
use super::pool::Pooled;
use super::sqlite::{Executed, SqliteConnection};

#[derive(Debug)]
pub enum TxConnection {
    Pooled(Pooled),
    Sqlite(SqliteConnection),
}

/// A row of an answer, or what a statement did.
pub type Part = Result<Either<AnyQueryResult, AnyRow>, Error>;
pub type Streamed<'e> = stream::BoxStream<'e, Part>;

impl<'c> Executor<'c> for &'c mut TxConnection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Streamed<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self {
            TxConnection::Pooled(connection) => connection.fetch_many(query),
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
            TxConnection::Pooled(connection) => connection.fetch_optional(query),
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
            TxConnection::Pooled(connection) => connection.prepare_with(sql, types),
            // It keeps what it has prepared by itself.
            TxConnection::Sqlite(_) => {
                ready(Err(Error::Protocol("statements are not prepared by hand".to_owned()))).boxed()
            }
        }
    }
}

fn execute<'q>(connection: &mut SqliteConnection, mut query: impl Execute<'q, Any>) -> Result<Executed, Error> {
    let arguments = query.take_arguments().map_err(Error::Encode)?;
    let is_kept = query.persistent();
    connection.execute(query.sql().as_str(), is_kept, arguments)
}

//! The service's own database: SQLite or PostgreSQL by the URL's scheme, the same statements on both.
//!
//! There is one way to write: [`Db::write`] runs a closure in a transaction that ends even if the caller has
//! gone. On SQLite the closures that wait at the same moment share one commit; on PostgreSQL each has its own.

mod connect;
mod connection;
mod error;
mod measure;
mod migrate;
mod patience;
mod pool;
mod shadow;
mod sqlite;
mod write;

use std::sync::Arc;

use tokio::sync::Notify;

pub use connection::TxConnection;
pub use error::DbError;
pub use migrate::Migration;
pub use pool::Pool;
pub use write::Tx;

pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// A condition of those columns for which a value is given, bound in their order as `$1`, `$2` and so on.
/// A column without one leaves its parameter to mean nothing, so that the binds are always the same.
pub fn where_given(columns: &[(&'static str, bool)]) -> String {
    let pieces = columns.iter().enumerate().map(|(index, (column, is_given))| {
        let parameter = index + 1;
        if *is_given { format!("{column} = ${parameter}") } else { format!("CAST(${parameter} AS TEXT) IS NULL") }
    });
    pieces.collect::<Vec<_>>().join(" AND ")
}

/// An SQL list of numbers, or of rows of numbers: there is nothing to escape in them, and an array parameter is unknown
/// to one of the databases.
pub fn listed(items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

#[derive(Clone)]
pub struct Db {
    dialect: Dialect,
    reader: Pool,
    writer: write::Writer,
    outbox_written: Arc<Notify>,
    /// Keeps a SQLite file to one process for as long as any clone of this lives.
    _lock: Option<Arc<std::fs::File>>,
}

impl Db {
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// For reading only: what is read here may be older than a transaction that is being committed.
    pub fn reader(&self) -> &Pool {
        &self.reader
    }

    /// Runs `work` in a transaction: committed when it returns `Ok`, rolled back otherwise.
    ///
    /// No network call belongs inside. `Ok` is returned only after the commit.
    pub async fn write<T, E>(
        &self,
        work: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Resolves when a commit has put something into the outbox.
    pub async fn outbox_written(&self) {
        self.outbox_written.notified().await;
    }

    pub async fn close(&self) {
        self.writer.close().await;
        self.reader.close().await;
    }
}

impl std::ops::Deref for Tx {
    type Target = TxConnection;

    fn deref(&self) -> &TxConnection {
        self.connection()
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut TxConnection {
        self.connection_mut()
    }
}

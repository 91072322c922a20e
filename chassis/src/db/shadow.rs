//! A second set of a service's tables beside those it works on: to build them anew while the service goes on, and
//! to change over in one transaction. Statements of the live database name its tables `shadow.…`.

use std::path::Path;
use std::sync::Arc;

use sqlx::Executor;
use tokio::sync::Notify;
use url::Url;

use super::connect::{self, SQLITE_SETTINGS};
use super::patience::LONG_PATIENCE;
use super::pool::{ACQUIRE_TIMEOUT, Connector, Pool};
use super::write::Writer;
use super::{Db, DbError, Dialect, Migration, Tx};
use crate::StartError;
use crate::config::Database;
use crate::http::problem::chain;

const CONNECTIONS: u32 = 2;
const IN_SHADOW: &str = "SET search_path TO shadow";

impl Db {
    /// The service's database, as [`Db::attach`] opens it, and an empty shadow of it. One that was left is removed.
    pub async fn attach_with_shadow(settings: &Database, migrations: &[Migration]) -> Result<(Self, Self), StartError> {
        let attached = Self::attach(settings).await?;
        match connect::sqlite_path(settings.url.reveal()) {
            Some(path) => sqlite(&path, migrations).await,
            None => postgres(attached, &connect::with_password(settings)?, migrations).await,
        }
    }

    /// Removes the tables of a shadow that is done with.
    pub async fn remove_shadow(&self, settings: &Database, shadow: Self) -> Result<(), StartError> {
        shadow.close().await;
        match connect::sqlite_path(settings.url.reveal()) {
            Some(path) => remove_files(&connect::shadow_path(&path)),
            None => {
                let dropped = (&self.reader).execute("DROP SCHEMA IF EXISTS shadow CASCADE").await;
                dropped.map(|_| ()).map_err(|error| StartError::Database(chain(&error)))
            }
        }
    }
}

impl Tx {
    /// From here to the end of the transaction nobody else takes a message in, by the consumer or by a redrive.
    pub async fn hold_intake(&mut self, dialect: Dialect) -> Result<(), DbError> {
        // SQLite knows one writer at a time, and whoever has begun to write is it.
        let statement = match dialect {
            Dialect::Sqlite => "DELETE FROM inbox WHERE 1 = 0",
            Dialect::Postgres => "LOCK TABLE dead_letter, inbox IN EXCLUSIVE MODE",
        };
        self.execute(statement).await?;
        Ok(())
    }
}

async fn sqlite(path: &Path, migrations: &[Migration]) -> Result<(Db, Db), StartError> {
    let shadow_path = connect::shadow_path(path);
    let lock = connect::lock_sqlite(&shadow_path)?;
    remove_files(&shadow_path)?;
    let shadow = connect::open_locked_sqlite(&shadow_path, lock, migrations).await?;
    let settings = format!("{SQLITE_SETTINGS} ATTACH DATABASE '{}' AS shadow;", shadow_path.display());
    let pool = Pool::new(Connector::new(connect::sqlite_url(path), settings), CONNECTIONS, LONG_PATIENCE);
    // Not in batches: these begin with a lock on both files, and the shadow is still written while the other is held.
    Ok((separate(Dialect::Sqlite, pool), shadow))
}

async fn postgres(live: Db, url: &Url, migrations: &[Migration]) -> Result<(Db, Db), StartError> {
    let failed = |error: &(dyn std::error::Error + 'static)| StartError::Database(chain(error));
    for statement in ["DROP SCHEMA IF EXISTS shadow CASCADE", "CREATE SCHEMA shadow"] {
        (&live.reader).execute(statement).await.map_err(|error| failed(&error))?;
    }
    let in_shadow = Connector::new(url.as_str(), IN_SHADOW);
    let connection = in_shadow.connect_within(ACQUIRE_TIMEOUT).await.map_err(|error| failed(&error))?;
    connect::migrate_postgres(connection, migrations).await.map_err(|error| failed(&*error))?;
    let pool = Pool::new(in_shadow, CONNECTIONS, LONG_PATIENCE);
    Ok((live, separate(Dialect::Postgres, pool)))
}

fn separate(dialect: Dialect, pool: Pool) -> Db {
    let outbox_written = Arc::new(Notify::new());
    let writer = Writer::pooled(pool.clone(), outbox_written.clone());
    Db { dialect, reader: pool, writer, outbox_written, _lock: None }
}

fn remove_files(path: &Path) -> Result<(), StartError> {
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StartError::Database(format!("{}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

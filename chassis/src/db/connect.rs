//! Opening a database: waited for where it is a server, created if missing, migrated, and kept to one process
//! where it is a file.

use std::fmt::Display;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::install_default_drivers;
use sqlx::migrate::MigrateDatabase;
use sqlx::{Any, AnyConnection, Connection};
use tokio::sync::Notify;
use url::Url;

use super::error::may_pass;
use super::migrate::migrate;
use super::patience::{LONG_PATIENCE, PATIENCE, in_time, until_it_passes};
use super::pool::{ACQUIRE_TIMEOUT, Connector, Pool};
use super::write::Writer;
use super::{Db, Dialect, Migration};
use crate::config::Database;
use crate::http::problem::chain;
use crate::{SettingError, StartError};

/// Of a command beside a service, which needs the rest.
const ATTACHED_CONNECTIONS: u32 = 2;
/// A server that starts together with its services is waited for this long, and so is a disk that has much else to do:
/// to make a SQLite file takes several syncs.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// PostgreSQL's word for a database that is not there.
const NO_SUCH_DATABASE: &str = "3D000";
/// Readers of a SQLite file; each costs a thread.
const SQLITE_READERS: u32 = 2;
/// An acknowledged commit survives power loss: FULL syncs the write-ahead log at each.
pub(super) const SQLITE_SETTINGS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -1024;";
/// A transaction whose service has gone without a word the server ends: its locks would be in the way of the others.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

impl Db {
    pub async fn open(settings: &Database, migrations: &[Migration]) -> Result<Self, StartError> {
        install_default_drivers();
        let url = settings.url.reveal();
        if let Some(path) = sqlite_path(url) {
            return open_sqlite(&path, migrations).await;
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return open_postgres(&with_password(settings)?, settings.max_connections, migrations).await;
        }
        Err(unknown_kind())
    }

    /// Opens a database beside the service that has it: as it is, without its lock and its migrations.
    pub async fn attach(settings: &Database) -> Result<Self, StartError> {
        install_default_drivers();
        let url = settings.url.reveal();
        if let Some(path) = sqlite_path(url) {
            return attach_sqlite(&path);
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return attach_postgres(&with_password(settings)?).await;
        }
        Err(unknown_kind())
    }
}

fn unknown_kind() -> StartError {
    SettingError::new("database.url", "must start with sqlite: or postgres:").into()
}

/// `sqlite:data/x.db` and `sqlite:///data/x.db` both name a file.
pub(super) fn sqlite_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)))
}

/// Where a shadow of a SQLite file is.
pub(super) fn shadow_path(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push("-shadow.db");
    path.with_file_name(name)
}

async fn open_sqlite(path: &Path, migrations: &[Migration]) -> Result<Db, StartError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| unusable(path, error))?;
    }
    open_locked_sqlite(path, lock_sqlite(path)?, migrations).await
}

fn unusable(path: &Path, problem: impl Display) -> StartError {
    StartError::Database(format!("{}: {problem}", path.display()))
}

/// Keeps the file from every other process that asks first.
pub(super) fn lock_sqlite(path: &Path) -> Result<File, StartError> {
    let lock = File::create(path.with_extension("lock")).map_err(|error| unusable(path, error))?;
    lock.try_lock()
        .map_err(|_| unusable(path, "another process has this database; stop it or set database.url (DATABASE_URL)"))?;
    Ok(lock)
}

pub(super) async fn open_locked_sqlite(path: &Path, lock: File, migrations: &[Migration]) -> Result<Db, StartError> {
    // Made here, so that it is its owner's alone from the first moment; SQLite gives its log the same mode.
    let private = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
    private.map_err(|error| unusable(path, error))?;
    let connected = Connector::new(sqlite_url(path), SQLITE_SETTINGS).connect_within(START_PATIENCE).await;
    let mut connection = connected.map_err(|error| unusable(path, chain(&error)))?;
    let migrated = migrate(&mut connection, Dialect::Sqlite, migrations).await;
    migrated.map_err(|error| unusable(path, chain(&error)))?;
    connection.close().await.map_err(|error| unusable(path, chain(&error)))?;
    sqlite(path, Some(lock), PATIENCE)
}

fn attach_sqlite(path: &Path) -> Result<Db, StartError> {
    if !path.exists() {
        return Err(StartError::Database(format!("{}: there is no such file", path.display())));
    }
    sqlite(path, None, LONG_PATIENCE)
}

fn sqlite(path: &Path, lock: Option<File>, patience: Duration) -> Result<Db, StartError> {
    let outbox_written = Arc::new(Notify::new());
    Ok(Db {
        dialect: Dialect::Sqlite,
        reader: Pool::new(Connector::new(sqlite_url(path), SQLITE_SETTINGS), SQLITE_READERS, patience),
        writer: Writer::batched(path.to_owned(), outbox_written.clone()).map_err(|error| unusable(path, error))?,
        outbox_written,
        _lock: lock.map(Arc::new),
    })
}

pub(super) fn sqlite_url(path: &Path) -> String {
    format!("sqlite://{}?mode=rw", path.display())
}

pub(super) fn with_password(settings: &Database) -> Result<Url, SettingError> {
    let mut url = Url::parse(settings.url.reveal()).map_err(|error| SettingError::new("database.url", error))?;
    let password = settings.password.reveal();
    if password.is_empty() {
        return Ok(url);
    }
    if url.password().is_some() {
        return Err(SettingError::new("database.password", "database.url has one already; set one of the two"));
    }
    // It is encoded as a URL needs it, but for the percent sign, which might be an encoding already.
    url.set_password(Some(&password.replace('%', "%25")))
        .map_err(|()| SettingError::new("database.password", "database.url names no host to give it to"))?;
    Ok(url)
}

async fn open_postgres(url: &Url, max_connections: u32, migrations: &[Migration]) -> Result<Db, StartError> {
    let connection = wait_for_server(url).await.map_err(|error| refused(url, &error))?;
    migrate_postgres(connection, migrations).await.map_err(|error| refused(url, &*error))?;
    // What nobody waits for any more the server ends too.
    let settings = format!(
        "SET statement_timeout = '{}s'; SET idle_in_transaction_session_timeout = '{}s'",
        PATIENCE.as_secs(),
        IDLE_IN_TRANSACTION.as_secs()
    );
    Ok(postgres(Pool::new(Connector::new(url.as_str(), settings), max_connections, PATIENCE)))
}

async fn attach_postgres(url: &Url) -> Result<Db, StartError> {
    let pool = Pool::new(Connector::new(url.as_str(), ""), ATTACHED_CONNECTIONS, LONG_PATIENCE);
    // A command says at once that there is nothing to work on.
    drop(pool.acquire().await.map_err(|error| refused(url, &error))?);
    Ok(postgres(pool))
}

fn postgres(pool: Pool) -> Db {
    let outbox_written = Arc::new(Notify::new());
    Db {
        dialect: Dialect::Postgres,
        reader: pool.clone(),
        writer: Writer::pooled(pool, outbox_written.clone()),
        outbox_written,
        _lock: None,
    }
}

/// On a connection of its own, which has no limits: a migration may take its time.
pub(super) async fn migrate_postgres(
    mut connection: AnyConnection,
    migrations: &[Migration],
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    migrate(&mut connection, Dialect::Postgres, migrations).await?;
    Ok(connection.close().await?)
}

/// The URL holds the password: only its host is repeated.
fn refused(url: &Url, error: &(dyn std::error::Error + 'static)) -> StartError {
    StartError::Database(format!("{}: {}", url.host_str().unwrap_or("localhost"), chain(error)))
}

/// Until the server lets us in or says why it never will.
async fn wait_for_server(url: &Url) -> Result<AnyConnection, sqlx::Error> {
    let attempt = || async {
        let tried = in_time(ACQUIRE_TIMEOUT, connect_or_create(url.as_str())).await;
        tried.inspect_err(|error| tracing::warn!(error = chain(error), "the database cannot be reached"))
    };
    until_it_passes(START_PATIENCE, may_pass, attempt).await
}

async fn connect_or_create(url: &str) -> Result<AnyConnection, sqlx::Error> {
    match AnyConnection::connect(url).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_SUCH_DATABASE) => {
            let created = Any::create_database(url).await;
            // Two replicas may start at once: whoever loses the race finds the database there.
            AnyConnection::connect(url).await.map_err(|error| created.err().unwrap_or(error))
        }
        outcome => outcome,
    }
}

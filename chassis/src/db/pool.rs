//! The connections to a database: those of readers, and on PostgreSQL of transactions too.
//!
//! Whether a connection still answers is asked when it is taken. Nothing is asked when it is given back, where nobody
//! would notice that its place is lost to a server that has gone without a word.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use futures_util::{FutureExt, StreamExt, stream};
use sqlx::any::{AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection as _, Error, Execute, Executor, SqlStr};

use super::BoxFuture;
use super::connection::{Part, Streamed};
use super::error::is_soon_over;
use super::patience::{PATIENCE, each_in_time, in_time, until_it_passes};

/// How long a request waits for a connection before it fails instead.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How much of that for the word of one that was there already.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A proxy in between may lead an old connection to where no new one would be led.
const MAX_LIFETIME: Duration = Duration::from_secs(1800);
/// How long one is tried for, with the rest of the time for the word that it cannot be had.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);

#[derive(Clone, Debug)]
pub struct Pool {
    connections: managed::Pool<Connector>,
    patience: Duration,
}

impl Pool {
    /// Connects when the first connection is wanted.
    pub fn new(connector: Connector, max_connections: u32, patience: Duration) -> Self {
        let builder = managed::Pool::builder(connector).max_size(max_connections as usize);
        // The last that was used: so those that are not needed end.
        let built = builder.queue_mode(QueueMode::Lifo).build();
        let connections = built.unwrap_or_else(|error| unreachable!("it has no time limits of its own: {error}"));
        Self { connections, patience }
    }

    pub async fn acquire(&self) -> Result<Pooled, Error> {
        let is_kept = |metrics: Metrics| metrics.last_used() < IDLE_TIMEOUT && metrics.age() < MAX_LIFETIME;
        drop(self.connections.retain(|_, metrics| is_kept(metrics)));
        let got = tokio::time::timeout(ACQUIRE_TIMEOUT, self.connections.get()).await;
        let connection = got.map_err(|_| Error::PoolTimedOut)?.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Closed => Error::PoolClosed,
            other => Error::Protocol(other.to_string()),
        })?;
        Ok(Pooled { connection, patience: self.patience })
    }

    /// How many connections there may be, there are, and of these wait for work.
    pub fn count(&self) -> (usize, usize, usize) {
        let status = self.connections.status();
        (status.max_size, status.size, status.available)
    }

    /// Ends those that nobody has, and lets nobody have another.
    pub async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            end(connection).await;
        }
    }

    async fn fetch_parts<'q>(&self, query: impl Execute<'q, Any> + 'q) -> Vec<Part> {
        match self.acquire().await {
            Ok(mut connection) => connection.fetch_many(query).collect().await,
            Err(error) => vec![Err(error)],
        }
    }
}

async fn end(connection: AnyConnection) {
    if let Err(error) = in_time(PATIENCE, connection.close()).await {
        tracing::debug!(%error, "a connection could not be closed in order");
    }
}

/// For reading: each statement has a connection to itself.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Streamed<'e>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        stream::once(self.fetch_parts(query)).flat_map(stream::iter).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move { self.acquire().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.prepare_with(sql, types).await }.boxed()
    }
}

/// A connection of the pool, which has it again when this is dropped.
#[derive(Debug)]
pub struct Pooled {
    connection: Object<Connector>,
    patience: Duration,
}

impl Pooled {
    /// Where its state is in doubt: nobody else may have it.
    pub async fn discard(self) {
        end(Object::take(self.connection)).await;
    }
}

impl<'c> Executor<'c> for &'c mut Pooled {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Streamed<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        each_in_time(self.patience, self.connection.fetch_many(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        in_time(self.patience, self.connection.fetch_optional(query)).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [AnyTypeInfo]) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        in_time(self.patience, self.connection.prepare_with(sql, types)).boxed()
    }
}

/// Makes connections, and says which of them are still good.
pub struct Connector {
    url: String,
    /// Statements that each connection begins with.
    settings: String,
    /// When one was last asked that did not answer: of those that have not answered since, none may.
    silent_at: Mutex<Option<Instant>>,
}

/// The URL may hold a password.
impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl Connector {
    pub fn new(url: impl Into<String>, settings: impl Into<String>) -> Self {
        Self { url: url.into(), settings: settings.into(), silent_at: Mutex::default() }
    }

    async fn connect(&self) -> Result<AnyConnection, Error> {
        let mut connection = AnyConnection::connect(&self.url).await?;
        if !self.settings.is_empty() {
            connection.execute(AssertSqlSafe(self.settings.clone())).await?;
        }
        Ok(connection)
    }

    /// A server that is starting again is waited for.
    pub async fn connect_within(&self, limit: Duration) -> Result<AnyConnection, Error> {
        in_time(limit, until_it_passes(limit, is_soon_over, || self.connect())).await
    }
}

impl Manager for Connector {
    type Type = AnyConnection;
    type Error = Error;

    async fn create(&self) -> Result<AnyConnection, Error> {
        self.connect_within(CONNECT_TIMEOUT).await
    }

    async fn recycle(&self, connection: &mut AnyConnection, metrics: &Metrics) -> RecycleResult<Error> {
        let answered = metrics.recycled.unwrap_or(metrics.created);
        if self.silent_at.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|silent| answered < silent) {
            return Err(RecycleError::message("another one did not answer"));
        }
        let asked = Instant::now();
        let answered = in_time(PING_TIMEOUT, connection.ping()).await;
        if matches!(&answered, Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut) {
            *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        }
        answered.map_err(RecycleError::Backend)
    }
}

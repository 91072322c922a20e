//! The one write path. On SQLite a single thread runs the closures that wait together, each in a savepoint of
//! its own, and commits once for all: one sync to disk instead of many, and no answer before it.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::connect::SQLITE_SETTINGS;
use super::connection::TxConnection;
use super::patience::in_time;
use super::pool::Pool;
use super::sqlite::SqliteConnection;
use super::{BoxFuture, DbError};
use crate::failpoint::{crash_point, hold_point};
use crate::http::trace::TraceContext;
use crate::telemetry::{Kind, Span};

/// Closures that share one commit at most; more only delays the first of them.
const BATCH: usize = 128;
/// Closures that wait; beyond it callers wait to be let in.
const QUEUE: usize = 1024;

/// One whose statement was not answered would otherwise be waited for once more.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);

/// A transaction that is open.
pub struct Tx {
    connection: TxConnection,
    wrote_outbox: bool,
    /// Rung after the commit.
    bells: Vec<Arc<Notify>>,
}

impl Tx {
    pub(super) fn connection(&self) -> &TxConnection {
        &self.connection
    }

    pub(super) fn connection_mut(&mut self) -> &mut TxConnection {
        &mut self.connection
    }

    /// The relay is woken after the commit.
    pub(crate) fn mark_outbox_written(&mut self) {
        self.wrote_outbox = true;
    }

    /// Wakes whoever waits at `bell` as soon as what is written here can be seen.
    pub fn wake_after_commit(&mut self, bell: &Arc<Notify>) {
        if !self.bells.iter().any(|known| Arc::ptr_eq(known, bell)) {
            self.bells.push(bell.clone());
        }
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), DbError> {
        sqlx::query(statement).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Tells the waiting caller how it ended, once the commit is decided.
pub type Settle = Box<dyn FnOnce(Result<(), DbError>) + Send>;
/// A closure that waits for a transaction, or for the news that there is none.
pub type Job = Box<dyn for<'t> FnOnce(Result<&'t mut Tx, DbError>) -> BoxFuture<'t, Done> + Send>;

pub struct Done {
    keep: bool,
    settle: Settle,
}

#[derive(Clone)]
pub enum Writer {
    Batched { jobs: mpsc::Sender<Job>, closing: CancellationToken, closed: CancellationToken },
    Pooled { pool: Pool, under_way: TaskTracker, outbox_written: Arc<Notify> },
}

impl Writer {
    /// For a SQLite file: one thread has the connection, and nobody else waits for its syncs to disk.
    pub fn batched(path: PathBuf, outbox_written: Arc<Notify>) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
        let batches = Batches { path, connection: None, waiting, closing: closing.clone(), outbox_written };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let ended = closed.clone().drop_guard();
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            runtime.block_on(batches.run());
            drop(ended);
        })?;
        Ok(Self::Batched { jobs, closing, closed })
    }

    pub fn pooled(pool: Pool, outbox_written: Arc<Notify>) -> Self {
        Self::Pooled { pool, under_way: TaskTracker::new(), outbox_written }
    }

    pub async fn write<T, E>(
        &self,
        work: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let asked = Instant::now();
        let (reply, answer) = oneshot::channel();
        // The closure may run in another task, and what it publishes belongs to this trace.
        let step = TraceContext::current().map(|parent| self.step(parent));
        let trace = step.as_ref().map_or_else(TraceContext::unrecorded, Span::context);
        let log = tracing::Span::current();
        let job: Job = Box::new(move |tx| Box::pin(trace.scope(run_job(work, tx, reply)).instrument(log)));
        match self {
            Self::Batched { jobs, .. } => jobs.send(job).await.map_err(|_| DbError::Closed)?,
            Self::Pooled { pool, under_way, outbox_written } => {
                // In a task of its own: a transaction half done must not return to the pool with a dropped caller.
                under_way.spawn(commit_alone(pool.clone(), job, outbox_written.clone()));
            }
        }
        let answer = answer.await.unwrap_or_else(|_| Err(DbError::Closed.into()));
        metrics::histogram!("db_client_operation_duration_seconds", "db_operation_name" => "write")
            .record(asked.elapsed());
        drop(step);
        answer
    }

    /// A transaction, with its waiting and its commit, as a span of whoever asked for it.
    fn step(&self, parent: TraceContext) -> Span {
        let system = match self {
            Self::Batched { .. } => "sqlite",
            Self::Pooled { .. } => "postgresql",
        };
        let mut span = Span::begin(Kind::Client, Some(parent), || "transaction".to_owned());
        span.set("db.system.name", system);
        span
    }

    /// What waits is still written.
    pub async fn close(&self) {
        match self {
            Self::Batched { closing, closed, .. } => {
                closing.cancel();
                closed.cancelled().await;
            }
            Self::Pooled { pool, under_way, .. } => {
                under_way.close();
                under_way.wait().await;
                pool.close().await;
            }
        }
    }
}

async fn run_job<T, E>(
    work: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send,
    tx: Result<&mut Tx, DbError>,
    reply: oneshot::Sender<Result<T, E>>,
) -> Done
where
    T: Send + 'static,
    E: From<DbError> + Send + 'static,
{
    let outcome = match tx {
        Ok(tx) => AssertUnwindSafe(async move { work(tx).await })
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(DbError::Panicked.into())),
        Err(error) => Err(error.into()),
    };
    let keep = outcome.is_ok();
    let settle: Settle = Box::new(move |committed| {
        let answer = match committed {
            Ok(()) => outcome,
            Err(error) => outcome.and(Err(error.into())),
        };
        // A caller that has gone does not need its answer; the transaction stands all the same.
        drop(reply.send(answer));
    });
    Done { keep, settle }
}

/// What the writer's thread has.
struct Batches {
    path: PathBuf,
    /// None before the first transaction, and after one whose end is in doubt.
    connection: Option<SqliteConnection>,
    waiting: mpsc::Receiver<Job>,
    closing: CancellationToken,
    outbox_written: Arc<Notify>,
}

impl Batches {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let mut settles = Vec::new();
            let committed = self.commit(first, &mut settles).await;
            settle_all(settles, &committed);
        }
    }

    /// None when there is nobody left to ask, or everything is written that was asked before the end.
    async fn next(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {}
            job = self.waiting.recv() => return job,
        }
        self.waiting.close();
        self.waiting.recv().await
    }

    async fn commit(&mut self, first: Job, settles: &mut Vec<Settle>) -> Result<(), DbError> {
        let mut tx = match self.begin().await {
            Ok(tx) => tx,
            Err(error) => return refuse(first, error, settles).await,
        };
        let kept = run_waiting(&mut tx, first, &mut self.waiting, settles).await;
        if let TxConnection::Sqlite(connection) = tx.end(kept, &self.outbox_written).await? {
            self.connection = Some(connection);
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<Tx, DbError> {
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => SqliteConnection::open(&self.path, SQLITE_SETTINGS),
        };
        begin(connection.map(TxConnection::Sqlite), "BEGIN IMMEDIATE").await
    }
}

/// Runs a closure and all that have come to wait meanwhile; whether there is anything to commit.
async fn run_waiting(
    tx: &mut Tx,
    first: Job,
    jobs: &mut mpsc::Receiver<Job>,
    settles: &mut Vec<Settle>,
) -> Result<bool, DbError> {
    if jobs.is_empty() {
        // Alone it needs no savepoint: the whole transaction is its own.
        let done = first(Ok(tx)).await;
        settles.push(done.settle);
        return Ok(done.keep);
    }
    let mut next = Some(first);
    let mut any_kept = false;
    while let Some(job) = next {
        any_kept |= run_in_savepoint(tx, job, settles).await?;
        next = if settles.len() < BATCH { jobs.try_recv().ok() } else { None };
    }
    Ok(any_kept)
}

async fn run_in_savepoint(tx: &mut Tx, job: Job, settles: &mut Vec<Settle>) -> Result<bool, DbError> {
    if let Err(error) = tx.run("SAVEPOINT job").await {
        return refuse(job, error, settles).await.map(|()| false);
    }
    let (wrote_outbox, bells) = (tx.wrote_outbox, tx.bells.len());
    let done = job(Ok(tx)).await;
    settles.push(done.settle);
    if !done.keep {
        tx.wrote_outbox = wrote_outbox;
        tx.bells.truncate(bells);
        tx.run("ROLLBACK TO job").await?;
    }
    tx.run("RELEASE job").await?;
    Ok(done.keep)
}

async fn commit_alone(pool: Pool, job: Job, outbox_written: Arc<Notify>) {
    let mut settles = Vec::new();
    let connection = pool.acquire().await.map(TxConnection::Pooled);
    let committed = match begin(connection, "BEGIN").await {
        Ok(mut tx) => {
            let done = job(Ok(&mut tx)).await;
            settles.push(done.settle);
            tx.end(Ok(done.keep), &outbox_written).await.map(drop)
        }
        Err(error) => refuse(job, error, &mut settles).await,
    };
    settle_all(settles, &committed);
}

/// Lets a closure tell its caller that there was no transaction for it.
async fn refuse(job: Job, error: DbError, settles: &mut Vec<Settle>) -> Result<(), DbError> {
    settles.push(job(Err(error.clone())).await.settle);
    Err(error)
}

fn settle_all(settles: Vec<Settle>, committed: &Result<(), DbError>) {
    for settle in settles {
        settle(committed.clone());
    }
}

async fn begin(connection: Result<TxConnection, sqlx::Error>, statement: &'static str) -> Result<Tx, DbError> {
    let begun = try_begin(connection, statement).await;
    if begun.is_err() {
        count("failed");
    }
    begun
}

async fn try_begin(connection: Result<TxConnection, sqlx::Error>, statement: &'static str) -> Result<Tx, DbError> {
    let mut tx = Tx { connection: connection?, wrote_outbox: false, bells: Vec::new() };
    if let Err(error) = tx.run(statement).await {
        tx.discard().await;
        return Err(error);
    }
    Ok(tx)
}

fn count(outcome: &'static str) {
    metrics::counter!("db_transactions_total", "outcome" => outcome).increment(1);
}

impl Tx {
    /// The connection, if it may serve another transaction.
    async fn end(mut self, kept: Result<bool, DbError>, outbox_written: &Notify) -> Result<TxConnection, DbError> {
        let commits = matches!(kept, Ok(true));
        let ended = match kept {
            Ok(true) => self.commit().await,
            Ok(false) => self.roll_back().await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            count("failed");
            self.discard().await;
            return Err(error);
        }
        count(if commits { "committed" } else { "rolled_back" });
        if commits && self.wrote_outbox {
            outbox_written.notify_one();
        }
        if commits {
            self.bells.iter().for_each(|bell| bell.notify_one());
        }
        Ok(self.connection)
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        hold_point("write.hold-commit").await;
        crash_point("write.before-commit");
        self.run("COMMIT").await?;
        crash_point("write.after-commit");
        Ok(())
    }

    /// One that does not answer is given up: the server ends what is open on it.
    async fn roll_back(&mut self) -> Result<(), DbError> {
        let rolled_back = sqlx::query("ROLLBACK").execute(&mut self.connection);
        in_time(ROLLBACK_TIMEOUT, rolled_back).await?;
        Ok(())
    }

    /// A connection whose state is in doubt must not serve another transaction.
    async fn discard(self) {
        // SQLite's is closed as it goes, and what was not committed goes with it.
        if let TxConnection::Pooled(connection) = self.connection {
            connection.discard().await;
        }
    }
}

//! How much waits to be published, and who publishes.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use crate::db::Dialect;
use crate::run::{StartError, print};
use crate::{Clock, Db, DbError};

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show how many events wait, since when, and which replica publishes
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub async fn execute(self, db: &Db) -> Result<ExitCode, StartError> {
        let Self::Status { json } = self;
        let status = status(db, Clock::system().now_ms()).await?;
        print(json, &status, || status.text())?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub waiting: i64,
    /// Keys with anything waiting.
    pub keys: i64,
    /// Of the event that waits longest.
    pub oldest_age_ms: Option<i64>,
    /// Absent on SQLite, where the one process publishes.
    pub lease: Option<Holding>,
}

/// Which replica's relay publishes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    pub holder: String,
    /// Rises with each change of hands.
    pub epoch: i64,
    /// Below 0: nobody has it.
    pub ends_in_ms: i64,
}

impl Status {
    fn text(&self) -> String {
        let waiting = match self.oldest_age_ms {
            Some(age) => {
                format!("{} events of {} keys wait, the oldest for {} s", self.waiting, self.keys, age / 1000)
            }
            None => "nothing waits".to_owned(),
        };
        match &self.lease {
            None => waiting,
            Some(Holding { epoch, ends_in_ms, .. }) if *ends_in_ms < 0 => {
                format!("{waiting}\nno replica publishes (epoch {epoch})")
            }
            Some(Holding { holder, epoch, ends_in_ms }) => {
                format!("{waiting}\n{holder} publishes (epoch {epoch}, for another {ends_in_ms} ms at least)")
            }
        }
    }
}

pub async fn status(db: &Db, now_ms: i64) -> Result<Status, DbError> {
    let (waiting, keys, oldest): (i64, i64, Option<i64>) =
        sqlx::query_as("SELECT COUNT(*), COUNT(DISTINCT message_key), MIN(created_at) FROM outbox")
            .fetch_one(db.reader())
            .await?;
    let lease = match db.dialect() {
        Dialect::Sqlite => None,
        Dialect::Postgres => holding(db).await?,
    };
    Ok(Status { waiting, keys, oldest_age_ms: oldest.map(|at| (now_ms - at).max(0)), lease })
}

async fn holding(db: &Db) -> Result<Option<Holding>, DbError> {
    let row: Option<(String, i64, i64)> = sqlx::query_as(
        "SELECT holder, epoch, expires_at - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
         FROM relay_lease WHERE id = 1 AND holder <> ''",
    )
    .fetch_optional(db.reader())
    .await?;
    Ok(row.map(|(holder, epoch, ends_in_ms)| Holding { holder, epoch, ends_in_ms }))
}

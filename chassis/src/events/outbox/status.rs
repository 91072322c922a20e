//! How much waits to be published, of which keys, and who publishes.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use crate::db::Dialect;
use crate::run::{StartError, print};
use crate::{Clock, Db, DbError};

/// Keys that are listed at most.
const LISTED: i64 = 10;

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show how many events wait, since when, of which keys, and which replica holds the lease to publish
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
    /// The keys that have waited longest, ten at most.
    pub waiting_longest: Vec<WaitingKey>,
    /// Absent on SQLite, where the one process publishes.
    pub lease: Option<Holding>,
}

/// A key with events that wait.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingKey {
    pub key: String,
    pub waiting: i64,
    /// Of its event that waits longest.
    pub oldest_age_ms: i64,
}

/// Which replica's relay may publish, by the database's own clock.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// `HOST/PID/RANDOM`, where a replica of ours has taken it.
    pub holder: String,
    /// Rises with each change of hands.
    pub epoch: i64,
    /// In Unix milliseconds; 0: it was given back.
    pub expires_at: i64,
    /// Below 0: nobody has it.
    pub ends_in_ms: i64,
}

impl Status {
    fn text(&self) -> String {
        let mut lines = vec![self.sum()];
        lines.extend(self.waiting_longest.iter().map(WaitingKey::line));
        let others = self.keys - self.waiting_longest.len() as i64;
        if others > 0 {
            lines.push(format!("and {}", counted(others, "other key")));
        }
        lines.extend(self.lease.as_ref().map(Holding::line));
        lines.join("\n")
    }

    fn sum(&self) -> String {
        let Some(age) = self.oldest_age_ms else { return "nothing waits".to_owned() };
        let (events, keys) = (counted(self.waiting, "event"), counted(self.keys, "key"));
        let wait = if self.waiting == 1 { "waits" } else { "wait" };
        format!("{events} of {keys} {wait}, the oldest for {} s", age / 1000)
    }
}

impl WaitingKey {
    fn line(&self) -> String {
        format!("key {}  {}  oldest {} s", self.key, counted(self.waiting, "event"), self.oldest_age_ms / 1000)
    }
}

impl Holding {
    fn line(&self) -> String {
        let Self { holder, epoch, expires_at, ends_in_ms } = self;
        if *ends_in_ms < 0 {
            return format!("no replica holds the lease, so none publishes; {holder} had it last (epoch {epoch})");
        }
        let until = Timestamp::from_millisecond(*expires_at).unwrap_or_default();
        format!("{holder} holds the lease until {until:.0}, for another {} s (epoch {epoch})", ends_in_ms / 1000)
    }
}

fn counted(count: i64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// One pass over the outbox, as counting it takes anyway.
pub async fn status(db: &Db, now_ms: i64) -> Result<Status, DbError> {
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT message_key, COUNT(*), MIN(created_at), CAST(SUM(COUNT(*)) OVER () AS BIGINT), COUNT(*) OVER ()
         FROM outbox GROUP BY message_key ORDER BY MIN(created_at), MIN(id) LIMIT $1",
    )
    .bind(LISTED)
    .fetch_all(db.reader())
    .await?;
    let (waiting, keys) = rows.first().map_or((0, 0), |(_, _, _, waiting, keys)| (*waiting, *keys));
    let waiting_key = |(key, waiting, oldest, _, _): (String, i64, i64, i64, i64)| WaitingKey {
        key,
        waiting,
        oldest_age_ms: (now_ms - oldest).max(0),
    };
    let waiting_longest: Vec<WaitingKey> = rows.into_iter().map(waiting_key).collect();
    let lease = match db.dialect() {
        Dialect::Sqlite => None,
        Dialect::Postgres => holding(db).await?,
    };
    let oldest_age_ms = waiting_longest.first().map(|oldest| oldest.oldest_age_ms);
    Ok(Status { waiting, keys, oldest_age_ms, waiting_longest, lease })
}

async fn holding(db: &Db) -> Result<Option<Holding>, DbError> {
    let row: Option<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT holder, epoch, expires_at,
            expires_at - CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
         FROM relay_lease WHERE id = 1 AND holder <> ''",
    )
    .fetch_optional(db.reader())
    .await?;
    let holding = |(holder, epoch, expires_at, ends_in_ms)| Holding { holder, epoch, expires_at, ends_in_ms };
    Ok(row.map(holding))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str, waiting: i64, oldest_age_ms: i64) -> WaitingKey {
        WaitingKey { key: key.to_owned(), waiting, oldest_age_ms }
    }

    fn status(waiting: i64, keys: i64, waiting_longest: Vec<WaitingKey>) -> Status {
        let oldest_age_ms = waiting_longest.first().map(|oldest| oldest.oldest_age_ms);
        Status { waiting, keys, oldest_age_ms, waiting_longest, lease: None }
    }

    #[test]
    fn one_event_waits_and_several_wait() {
        assert_eq!(status(0, 0, vec![]).text(), "nothing waits");
        let one = status(1, 1, vec![key("77", 1, 4_900)]).text();
        assert_eq!(one, "1 event of 1 key waits, the oldest for 4 s\nkey 77  1 event  oldest 4 s");
        let several = status(7, 4, vec![key("77", 2, 4_000), key("78", 1, 0)]).text();
        assert_eq!(
            several,
            "7 events of 4 keys wait, the oldest for 4 s\n\
             key 77  2 events  oldest 4 s\n\
             key 78  1 event  oldest 0 s\n\
             and 2 other keys"
        );
    }

    #[test]
    fn a_lease_is_told_with_its_holder_and_its_end_and_nobody_is_said_to_publish_without_one() {
        let holding =
            |expires_at, ends_in_ms| Holding { holder: "pod/1/a".to_owned(), epoch: 7, expires_at, ends_in_ms };
        let held = holding(1_795_276_146_000, 8_123).line();
        assert_eq!(held, "pod/1/a holds the lease until 2026-11-21T15:49:06Z, for another 8 s (epoch 7)");
        let ended = holding(0, -1).line();
        assert_eq!(ended, "no replica holds the lease, so none publishes; pod/1/a had it last (epoch 7)");
    }
}

//! Which replica's relay publishes. On SQLite there is one process, so it always leads; on PostgreSQL a row
//! with an expiry by the database's own clock decides, and an epoch guards what an ex-leader may still do.

use std::time::Duration;

use nix::sys::utsname::uname;
use tokio::time::Instant;

use crate::db::Dialect;
use crate::{Db, DbError};

const TERM_MS: i64 = 10_000;
/// Renewed well before it ends, and not trusted to its last moment.
const RENEW_AFTER: Duration = Duration::from_millis(3_000);
const TRUSTED_FOR: Duration = Duration::from_millis(7_000);

pub struct Lease {
    holder: String,
    held: Option<Held>,
}

#[derive(Clone, Copy)]
struct Held {
    epoch: i64,
    renewed: Instant,
}

impl Lease {
    pub fn new() -> Self {
        Self { holder: holder(), held: None }
    }

    /// The epoch in which this relay leads now, taking or renewing the lease where needed.
    pub async fn epoch(&mut self, db: &Db) -> Result<Option<i64>, DbError> {
        if db.dialect() == Dialect::Sqlite {
            return Ok(Some(0));
        }
        if let Some(held) = self.held.filter(|held| held.renewed.elapsed() < RENEW_AFTER) {
            return Ok(Some(held.epoch));
        }
        let (asked, before) = (Instant::now(), self.held.map(|held| held.epoch));
        let now = self.take(db).await?;
        self.tell(before, now);
        self.held = now.map(|epoch| Held { epoch, renewed: asked });
        Ok(now)
    }

    /// Only a change is told: a lease that is held is renewed every few seconds.
    fn tell(&self, before: Option<i64>, now: Option<i64>) {
        let holder = self.holder.as_str();
        match now {
            Some(epoch) if before != now => tracing::info!(holder, epoch, "the relay's lease is taken"),
            None if before.is_some() => tracing::info!(holder, "the relay's lease is lost"),
            _ => {}
        }
    }

    /// Whether the lease still has enough of its term left to send under it.
    pub fn is_trusted(&self, db: &Db) -> bool {
        db.dialect() == Dialect::Sqlite || self.held.is_some_and(|held| held.renewed.elapsed() < TRUSTED_FOR)
    }

    async fn take(&self, db: &Db) -> Result<Option<i64>, DbError> {
        let holder = self.holder.clone();
        db.write(move |tx| {
            Box::pin(async move {
                // Renewing keeps the epoch; taking over raises it.
                let row: Option<(i64,)> = sqlx::query_as(
                    "UPDATE relay_lease SET
                        epoch = CASE WHEN holder = $1 THEN epoch ELSE epoch + 1 END,
                        holder = $1,
                        expires_at = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + $2
                     WHERE id = 1
                       AND (holder = $1 OR expires_at < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT))
                     RETURNING epoch",
                )
                .bind(holder)
                .bind(TERM_MS)
                .fetch_optional(&mut **tx)
                .await?;
                Ok(row.map(|(epoch,)| epoch))
            })
        })
        .await
    }

    /// Gives the lease back, so that another replica need not wait for its end.
    pub async fn release(&mut self, db: &Db) -> Result<(), DbError> {
        if self.held.take().is_none() {
            return Ok(());
        }
        let holder = self.holder.clone();
        db.write::<_, DbError>(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE relay_lease SET expires_at = 0 WHERE id = 1 AND holder = $1")
                    .bind(holder)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            })
        })
        .await?;
        tracing::info!(holder = self.holder, "the relay's lease is given back");
        Ok(())
    }
}

/// A name by which a person finds the process: its host, which in Kubernetes is its pod, and its number there. The
/// random part tells it from the one before it, which may have had the same two.
fn holder() -> String {
    let host = uname().map(|names| names.nodename().to_string_lossy().into_owned()).unwrap_or_default();
    format!("{host}/{}/{:08x}", std::process::id(), rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing;

    /// What is logged by this thread.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// The lines since it was asked last.
        fn lines(&self) -> Vec<String> {
            let text = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn a_holder_can_be_found_by_its_name_and_is_not_taken_for_the_process_before_it() {
        let (one, other) = (holder(), holder());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let place = format!("{}/{}/", host.trim(), std::process::id());
        assert!(one.starts_with(&place) && other.starts_with(&place), "{one} {other}");
        assert_ne!(one, other);
    }

    #[tokio::test]
    async fn whoever_takes_the_lease_loses_it_or_gives_it_back_says_so_once() {
        let log = Log::default();
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        for db in testing::databases(&[]).await.into_iter().filter(|db| db.dialect() == Dialect::Postgres) {
            let (mut one, mut other) = (Lease::new(), Lease::new());
            let told = |what: &str, lease: &Lease| {
                let lines = log.lines();
                let is_it =
                    |line: &String| line.contains(" INFO ") && line.contains(what) && line.contains(&lease.holder);
                assert!(lines.len() == 1 && lines.iter().all(is_it), "{what}: {lines:?}");
            };
            assert_eq!(one.epoch(&db).await.unwrap(), Some(1));
            told("the relay's lease is taken", &one);
            wear(&mut one);
            assert_eq!((one.epoch(&db).await.unwrap(), other.epoch(&db).await.unwrap()), (Some(1), None));
            assert!(log.lines().is_empty(), "nothing has changed");

            sqlx::query("UPDATE relay_lease SET expires_at = 0").execute(db.reader()).await.unwrap();
            assert_eq!(other.epoch(&db).await.unwrap(), Some(2));
            told("the relay's lease is taken", &other);
            wear(&mut one);
            assert_eq!(one.epoch(&db).await.unwrap(), None);
            told("the relay's lease is lost", &one);

            other.release(&db).await.unwrap();
            told("the relay's lease is given back", &other);
        }
    }

    /// So long ago that it is to be renewed.
    fn wear(lease: &mut Lease) {
        lease.held.iter_mut().for_each(|held| held.renewed -= RENEW_AFTER);
    }
}

//! Which replica's relay publishes. On SQLite there is one process, so it always leads; on PostgreSQL a row
//! with an expiry by the database's own clock decides, and an epoch guards what an ex-leader may still do.

use std::time::Duration;

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
        Self { holder: uuid::Uuid::new_v4().to_string(), held: None }
    }

    /// The epoch in which this relay leads now, taking or renewing the lease where needed.
    pub async fn epoch(&mut self, db: &Db) -> Result<Option<i64>, DbError> {
        if db.dialect() == Dialect::Sqlite {
            return Ok(Some(0));
        }
        if let Some(held) = self.held.filter(|held| held.renewed.elapsed() < RENEW_AFTER) {
            return Ok(Some(held.epoch));
        }
        let asked = Instant::now();
        self.held = self.take(db).await?.map(|epoch| Held { epoch, renewed: asked });
        Ok(self.held.map(|held| held.epoch))
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
        db.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE relay_lease SET expires_at = 0 WHERE id = 1 AND holder = $1")
                    .bind(holder)
                    .execute(&mut **tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

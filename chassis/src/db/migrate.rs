//! Migrations: the chassis's own tables first, then the service's, each file once.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, MigrationType, Migrator};
use sqlx::{AnyPool, AssertSqlSafe, SqlSafeStr};

use super::Dialect;

/// One file: its number, its name and its text.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// A service's own start at 100; those below are the chassis's.
    pub version: i64,
    pub name: &'static str,
    pub sql: &'static str,
}

const CHASSIS: &[Migration] = &[
    Migration { version: 1, name: "outbox", sql: include_str!("../../migrations/0001_outbox.sql") },
    Migration { version: 2, name: "inbox", sql: include_str!("../../migrations/0002_inbox.sql") },
    Migration { version: 3, name: "idempotency", sql: include_str!("../../migrations/0003_idempotency.sql") },
];

/// The one phrase that the two databases do not share.
const IDENTITY: &str = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
const SQLITE_IDENTITY: &str = "INTEGER PRIMARY KEY AUTOINCREMENT";

pub async fn migrate(pool: &AnyPool, dialect: Dialect, own: &[Migration]) -> Result<(), MigrateError> {
    let migrations = CHASSIS.iter().chain(own).map(|migration| {
        let sql = match dialect {
            Dialect::Sqlite => migration.sql.replace(IDENTITY, SQLITE_IDENTITY),
            Dialect::Postgres => migration.sql.to_owned(),
        };
        sqlx::migrate::Migration::new(
            migration.version,
            Cow::Borrowed(migration.name),
            MigrationType::Simple,
            AssertSqlSafe(sql).into_sql_str(),
            false,
        )
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run(pool).await
}

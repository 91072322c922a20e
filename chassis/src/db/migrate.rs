//! Migrations: the chassis's own tables first, then the service's, each file once.

use std::borrow::Cow;

use sqlx::migrate::{MigrateError, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, SqlSafeStr};

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
    Migration { version: 4, name: "discarded letter", sql: include_str!("../../migrations/0004_discarded_letter.sql") },
];

/// The one phrase that the two databases do not share.
const IDENTITY: &str = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
const SQLITE_IDENTITY: &str = "INTEGER PRIMARY KEY AUTOINCREMENT";

pub async fn migrate(connection: &mut AnyConnection, dialect: Dialect, own: &[Migration]) -> Result<(), MigrateError> {
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
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // A newer version may have been here: during its rollout, and after its undoing, the older one still starts.
    migrator.set_ignore_missing(true);
    migrator.run(connection).await
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;
    use sqlx::any::install_default_drivers;

    use super::*;

    const OLDER: Migration = Migration { version: 100, name: "pet", sql: "CREATE TABLE pet (name TEXT)" };
    const NEWER: Migration = Migration { version: 101, name: "pet_age", sql: "ALTER TABLE pet ADD COLUMN age BIGINT" };

    async fn database() -> AnyConnection {
        install_default_drivers();
        AnyConnection::connect("sqlite::memory:").await.unwrap()
    }

    #[tokio::test]
    async fn a_version_starts_where_a_newer_one_has_migrated() {
        let mut database = database().await;
        migrate(&mut database, Dialect::Sqlite, &[OLDER, NEWER]).await.unwrap();
        migrate(&mut database, Dialect::Sqlite, &[OLDER]).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_has_run_cannot_be_changed() {
        let mut database = database().await;
        migrate(&mut database, Dialect::Sqlite, &[OLDER]).await.unwrap();
        let changed = Migration { sql: "CREATE TABLE pet (id BIGINT)", ..OLDER };
        let refused = migrate(&mut database, Dialect::Sqlite, &[changed]).await.unwrap_err();
        assert!(matches!(refused, MigrateError::VersionMismatch(100)), "{refused}");
    }
}

use std::sync::Arc;

/// PostgreSQL's.
const CANNOT_CONNECT_NOW: &str = "57P03";
const TOO_MANY_CONNECTIONS: &str = "53300";
/// SQLite's.
const BUSY: i64 = 5;
const LOCKED: i64 = 6;
const IO_ERROR: i64 = 10;
const FULL: i64 = 13;
const CANNOT_OPEN: i64 = 14;

/// What went wrong with a statement or a commit. It can be cloned, because a shared commit fails for many.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DbError {
    #[error("a statement failed")]
    Sql(#[source] Arc<sqlx::Error>),
    #[error("the code inside a transaction panicked; it was rolled back")]
    Panicked,
    #[error("the database is closed")]
    Closed,
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl DbError {
    /// Whether the database itself is in trouble, so that the same work may succeed later:
    /// away, busy, full, restarting, or chosen as a deadlock's victim. Everything else is the statement's fault.
    pub fn is_transient(&self) -> bool {
        let error = match self {
            Self::Sql(error) => error,
            Self::Closed => return true,
            Self::Panicked | Self::Corrupt(_) => return false,
        };
        match error.as_ref() {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                true
            }
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
            _ => false,
        }
    }
}

/// Whether a connection that was refused may be had later. A certificate that is not to be trusted comes as a failed
/// reading, and will come again.
pub(super) fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

/// Whether it says that a server is just starting, or has no place at the moment: that is over soon.
pub(super) fn is_soon_over(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| match sqlite_code(&code) {
            Some(code) => code == BUSY,
            None => [CANNOT_CONNECT_NOW, TOO_MANY_CONNECTIONS].contains(&code.as_ref()),
        }),
        _ => false,
    }
}

fn is_transient_code(code: &str) -> bool {
    match sqlite_code(code) {
        Some(code) => [BUSY, LOCKED, IO_ERROR, FULL, CANNOT_OPEN].contains(&code),
        // The class.
        None => ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class)),
    }
}

/// SQLite's result codes are small numbers, of which an extended one keeps the primary in its low byte. PostgreSQL's
/// have five characters.
fn sqlite_code(code: &str) -> Option<i64> {
    if code.len() == 5 {
        return None;
    }
    code.parse::<i64>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::is_transient_code;

    #[test]
    fn a_busy_full_or_absent_database_is_transient_and_a_broken_rule_is_not() {
        for code in ["5", "517", "13", "10", "57P01", "40001", "53300", "08006"] {
            assert!(is_transient_code(code), "{code}");
        }
        for code in ["19", "2067", "1555", "23505", "22P02", "42703"] {
            assert!(!is_transient_code(code), "{code}");
        }
    }
}

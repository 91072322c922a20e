use std::sync::Arc;

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
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

/// Whether it says that a server is just starting, or has no place at the moment: that is over soon.
pub(super) fn is_soon_over(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| ["57P03", "53300", "5"].contains(&code.as_ref()))
        }
        _ => false,
    }
}

/// SQLite's result codes are small numbers; PostgreSQL's are five characters, of which two are the class.
fn is_transient_code(code: &str) -> bool {
    const BUSY: i64 = 5;
    const LOCKED: i64 = 6;
    const IO_ERROR: i64 = 10;
    const FULL: i64 = 13;
    const CANNOT_OPEN: i64 = 14;
    if code.len() == 5 {
        return ["08", "40", "53", "55", "57", "58"].contains(&&code[..2]);
    }
    // An extended code keeps the primary one in its low byte.
    code.parse::<i64>().is_ok_and(|code| [BUSY, LOCKED, IO_ERROR, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
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

//! A SQLite connection whose statements run in the thread that asks. sqlx has a thread for each connection and waits
//! for it with each statement, which costs more than most statements do; the writer is a thread of its own already.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Batch, OpenFlags, Statement};
use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow, AnyTypeInfo, AnyTypeInfoKind, AnyValue};
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::{Any, Database};
use sqlx_core::any::AnyValueKind;

/// As many as sqlx keeps.
const PREPARED: usize = 100;

type Column = <Any as Database>::Column;

pub struct SqliteConnection {
    inner: rusqlite::Connection,
    /// By the text of the statements that are kept prepared, of no more of them than are kept.
    layouts: HashMap<Box<str>, Arc<Layout>>,
}

/// What came of a statement.
#[derive(Default)]
pub struct Executed {
    pub rows: Vec<AnyRow>,
    pub result: AnyQueryResult,
}

/// The columns of a statement's rows, in the shape that each of its rows has them.
#[derive(Default)]
struct Layout {
    row: Option<AnyRow>,
}

impl SqliteConnection {
    /// `settings` are statements that it begins with.
    pub fn open(path: &Path, settings: &str) -> Result<Self, sqlx::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let inner = rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?;
        inner.set_prepared_statement_cache_capacity(PREPARED);
        // As sqlx does.
        inner.execute_batch("PRAGMA foreign_keys = ON").map_err(failed)?;
        inner.execute_batch(settings).map_err(failed)?;
        Ok(Self { inner, layouts: HashMap::new() })
    }

    /// Runs a statement to its end, or several if there are no arguments.
    pub fn execute(
        &mut self,
        sql: &str,
        is_kept: bool,
        arguments: Option<AnyArguments>,
    ) -> Result<Executed, sqlx::Error> {
        let Some(arguments) = arguments else { return self.execute_all(sql) };
        if !is_kept {
            let mut statement = self.inner.prepare(sql).map_err(failed)?;
            let layout = Layout::of(&statement);
            return step(&self.inner, &mut statement, &layout, arguments.values.0);
        }
        let mut statement = self.inner.prepare_cached(sql).map_err(failed)?;
        let layout = match self.layouts.get(sql) {
            Some(layout) => layout.clone(),
            None => {
                let layout = Arc::new(Layout::of(&statement));
                if self.layouts.len() == PREPARED {
                    self.layouts.clear();
                }
                self.layouts.insert(sql.into(), layout.clone());
                layout
            }
        };
        step(&self.inner, &mut statement, &layout, arguments.values.0)
    }

    fn execute_all(&self, sql: &str) -> Result<Executed, sqlx::Error> {
        let mut executed = Executed::default();
        let mut batch = Batch::new(&self.inner, sql);
        while let Some(mut statement) = batch.next().map_err(failed)? {
            let layout = Layout::of(&statement);
            let next = step(&self.inner, &mut statement, &layout, Vec::new())?;
            executed.rows.extend(next.rows);
            executed.result.extend([next.result]);
        }
        Ok(executed)
    }
}

impl fmt::Debug for SqliteConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqliteConnection").finish_non_exhaustive()
    }
}

fn step(
    connection: &rusqlite::Connection,
    statement: &mut Statement<'_>,
    layout: &Layout,
    arguments: Vec<AnyValueKind>,
) -> Result<Executed, sqlx::Error> {
    for index in 1..=statement.parameter_count() {
        let place = place_of(statement, index)?;
        let value = arguments.get(place).ok_or_else(|| protocol(format!("no value is bound to ${}", place + 1)))?;
        statement.raw_bind_parameter(index, bound(value)?).map_err(failed)?;
    }
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        found.push(layout.fill(row)?);
    }
    drop(rows);
    let result = AnyQueryResult { rows_affected: connection.changes(), last_insert_id: None };
    Ok(Executed { rows: found, result })
}

/// `$2` is the second argument wherever it stands; SQLite itself counts by first appearance.
fn place_of(statement: &Statement<'_>, index: usize) -> Result<usize, sqlx::Error> {
    let name = statement.parameter_name(index).unwrap_or_default();
    let number: Option<usize> = name.strip_prefix('$').and_then(|number| number.parse().ok());
    number.and_then(|number| number.checked_sub(1)).ok_or_else(|| protocol(format!("`{name}` is not written as $1")))
}

fn bound(value: &AnyValueKind) -> Result<ToSqlOutput<'_>, sqlx::Error> {
    let value = match value {
        AnyValueKind::Null(_) => ValueRef::Null,
        AnyValueKind::Bool(is_so) => ValueRef::Integer(i64::from(*is_so)),
        AnyValueKind::SmallInt(number) => ValueRef::Integer(i64::from(*number)),
        AnyValueKind::Integer(number) => ValueRef::Integer(i64::from(*number)),
        AnyValueKind::BigInt(number) => ValueRef::Integer(*number),
        AnyValueKind::Real(number) => ValueRef::Real(f64::from(*number)),
        AnyValueKind::Double(number) => ValueRef::Real(*number),
        AnyValueKind::Text(text) => ValueRef::Text(text.as_bytes()),
        AnyValueKind::TextSlice(text) => ValueRef::Text(text.as_bytes()),
        AnyValueKind::Blob(bytes) => ValueRef::Blob(bytes),
        other => return Err(protocol(format!("SQLite has no type for {other:?}"))),
    };
    Ok(ToSqlOutput::Borrowed(value))
}

impl Layout {
    fn of(statement: &Statement<'_>) -> Self {
        let names = statement.column_names();
        if names.is_empty() {
            return Self::default();
        }
        // Of a value's type the value knows more: SQLite's columns may hold anything.
        let type_info = AnyTypeInfo { kind: AnyTypeInfoKind::Null };
        let column = |(ordinal, name): (usize, &&str)| Column {
            ordinal,
            name: (*name).to_owned().into(),
            type_info: type_info.clone(),
        };
        let columns: Vec<Column> = names.iter().enumerate().map(column).collect();
        let column_names = columns.iter().map(|column| (column.name.clone(), column.ordinal)).collect();
        Self { row: Some(AnyRow { column_names: Arc::new(column_names), columns, values: Vec::new() }) }
    }

    fn fill(&self, row: &rusqlite::Row<'_>) -> Result<AnyRow, sqlx::Error> {
        let mut filled = self.row.clone().ok_or_else(|| protocol("a row without columns".to_owned()))?;
        filled.values.reserve_exact(filled.columns.len());
        for index in 0..filled.columns.len() {
            let kind = match row.get_ref(index).map_err(failed)? {
                ValueRef::Null => AnyValueKind::Null(AnyTypeInfoKind::Null),
                ValueRef::Integer(number) => AnyValueKind::BigInt(number),
                ValueRef::Real(number) => AnyValueKind::Double(number),
                ValueRef::Text(text) => AnyValueKind::Text(Arc::new(decoded(text)?.to_owned())),
                ValueRef::Blob(bytes) => AnyValueKind::Blob(Arc::new(bytes.to_vec())),
            };
            filled.values.push(AnyValue { kind });
        }
        Ok(filled)
    }
}

fn decoded(text: &[u8]) -> Result<&str, sqlx::Error> {
    std::str::from_utf8(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn protocol(problem: String) -> sqlx::Error {
    sqlx::Error::Protocol(problem)
}

fn failed(error: rusqlite::Error) -> sqlx::Error {
    match error.sqlite_error() {
        Some(code) => {
            let code = code.extended_code;
            sqlx::Error::Database(Box::new(SqliteError { code, message: error.to_string() }))
        }
        None => sqlx::Error::AnyDriverError(error.into()),
    }
}

/// What SQLite itself refuses, with its extended result code.
#[derive(Debug, thiserror::Error)]
#[error("(code: {code}) {message}")]
struct SqliteError {
    code: i32,
    message: String,
}

impl DatabaseError for SqliteError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.code.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        match self.code {
            rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                ErrorKind::UniqueViolation
            }
            rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => ErrorKind::ForeignKeyViolation,
            rusqlite::ffi::SQLITE_CONSTRAINT_NOTNULL => ErrorKind::NotNullViolation,
            rusqlite::ffi::SQLITE_CONSTRAINT_CHECK => ErrorKind::CheckViolation,
            _ => ErrorKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Arguments;
    use sqlx::Row;

    use super::*;

    fn connection() -> SqliteConnection {
        let mut connection =
            SqliteConnection { inner: rusqlite::Connection::open_in_memory().unwrap(), layouts: HashMap::new() };
        connection
            .execute("CREATE TABLE visit (id INTEGER PRIMARY KEY, name TEXT, fee REAL, note BLOB)", false, None)
            .unwrap();
        connection
    }

    fn arguments(values: &[&str]) -> Option<AnyArguments> {
        let mut arguments = AnyArguments::default();
        for value in values {
            arguments.add((*value).to_owned()).unwrap();
        }
        Some(arguments)
    }

    #[test]
    fn parameters_go_by_their_number_and_not_by_their_place() {
        let mut connection = connection();
        for is_kept in [true, false, true] {
            let sql = "SELECT $2 AS second, $1 AS first, $2 || $1 AS both";
            let rows = connection.execute(sql, is_kept, arguments(&["a", "b"])).unwrap().rows;
            let read = |name: &str| rows[0].get::<String, _>(name);
            assert_eq!((read("first"), read("second"), read("both")), ("a".into(), "b".into(), "ba".into()));
        }
        assert!(connection.execute("SELECT $2", true, arguments(&["a"])).is_err());
        assert!(connection.execute("SELECT ?", true, arguments(&["a"])).is_err());
    }

    #[test]
    fn every_kind_of_value_comes_back_as_it_went_in() {
        let mut connection = connection();
        let mut given = AnyArguments::default();
        given.add(7i64).unwrap();
        given.add(Option::<String>::None).unwrap();
        given.add(1.5f64).unwrap();
        given.add(vec![0u8, 255]).unwrap();
        let sql = "INSERT INTO visit (id, name, fee, note) VALUES ($1, $2, $3, $4) RETURNING id, name, fee, note";
        let executed = connection.execute(sql, true, Some(given)).unwrap();
        let row = &executed.rows[0];
        assert_eq!(row.get::<i64, _>(0), 7);
        assert_eq!(row.get::<Option<String>, _>("name"), None);
        assert_eq!(row.get::<f64, _>("fee"), 1.5);
        assert_eq!(row.get::<Vec<u8>, _>("note"), [0, 255]);
        assert_eq!(executed.result.rows_affected(), 1);
    }

    #[test]
    fn a_broken_rule_is_named_by_its_code_and_leaves_the_connection_usable() {
        let mut connection = connection();
        let insert = "INSERT INTO visit (id, name) VALUES (CAST($1 AS INTEGER), $2)";
        connection.execute(insert, true, arguments(&["1", "a"])).unwrap();
        let refused = connection.execute(insert, true, arguments(&["1", "b"])).err().unwrap();
        let refused = refused.as_database_error().unwrap();
        assert!(refused.is_unique_violation());
        assert_eq!(refused.code().as_deref(), Some("1555"));
        connection.execute(insert, true, arguments(&["2", "b"])).unwrap();
        assert!(connection.execute("SELECT nothing FROM nowhere", true, arguments(&[])).is_err());
    }

    #[test]
    fn statements_that_are_never_the_same_twice_do_not_pile_up() {
        let mut connection = connection();
        for number in 0..3 * PREPARED {
            let rows =
                connection.execute(&format!("SELECT {number} AS n, $1 AS text"), true, arguments(&["a"])).unwrap();
            assert_eq!(rows.rows[0].get::<i64, _>("n"), number as i64);
            assert!(connection.layouts.len() <= PREPARED);
        }
    }

    #[test]
    fn several_statements_run_one_after_another() {
        let mut connection = connection();
        let sql =
            "INSERT INTO visit (id) VALUES (1); INSERT INTO visit (id) VALUES (2), (3); SELECT COUNT(*) FROM visit";
        let executed = connection.execute(sql, false, None).unwrap();
        assert_eq!(executed.rows[0].get::<i64, _>(0), 3);
    }
}

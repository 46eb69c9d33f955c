//! Statements: SQL with the types of its parameters.

mod count;

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};

use crate::identifier::in_schema;
use crate::{Error, Result};
pub(crate) use count::count;

/// A statement: its SQL and the types of its parameters.
///
/// The types must be complete, one for each `$n`: with them a statement takes one round trip even
/// where nothing can be prepared. A first line such as `-- orders::insert` names the statement in
/// errors and in the server's log.
///
/// # Examples
///
/// ```
/// use db::{Statement, Type};
///
/// static INSERT: Statement = Statement::new(
///     "-- orders::insert
///      INSERT INTO orders (id, item) VALUES ($1, $2)",
///     &[Type::INT8, Type::TEXT],
/// );
/// assert_eq!(INSERT.name(), "orders::insert");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Statement {
    sql: Cow<'static, str>,
    types: Cow<'static, [Type]>,
    changes_session: bool,
}

impl Statement {
    /// Makes a statement, in a `static` if need be.
    pub const fn new(sql: &'static str, types: &'static [Type]) -> Self {
        Self {
            sql: Cow::Borrowed(sql),
            types: Cow::Borrowed(types),
            changes_session: may_change_session(sql),
        }
    }

    /// Makes a statement from a template that has `{schema}` where the quoted schema belongs.
    ///
    /// # Examples
    ///
    /// ```
    /// use db::{Statement, Type};
    ///
    /// let add = Statement::in_schema(
    ///     "INSERT INTO {schema}.notes (text) VALUES ($1)",
    ///     vec![Type::TEXT],
    ///     "my notes",
    /// );
    /// assert_eq!(add.sql(), r#"INSERT INTO "my notes".notes (text) VALUES ($1)"#);
    /// ```
    pub fn in_schema(template: &str, types: Vec<Type>, schema: &str) -> Self {
        Self::from_parts(in_schema(template, schema), types)
    }

    /// Makes a statement from SQL that was put together at run time.
    pub fn from_parts(sql: String, types: Vec<Type>) -> Self {
        Self {
            changes_session: may_change_session(&sql),
            sql: Cow::Owned(sql),
            types: Cow::Owned(types),
        }
    }

    /// Vouches that the statement leaves the session as it was, although its text looks otherwise:
    /// a `set_config` for the transaction alone, say.
    #[must_use]
    pub fn keeping_session(self) -> Self {
        Self {
            changes_session: false,
            ..self
        }
    }

    /// The SQL.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The types of the parameters.
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// The name that errors and logs give it: what its first line says behind `--`, or else the
    /// beginning of that line.
    pub fn name(&self) -> &str {
        name(&self.sql)
    }

    /// Whether the statement may leave something behind in the session, so that the connection is
    /// cleaned before it is used again.
    ///
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `WITH`, `VALUES` and `TABLE` are trusted
    /// not to, unless the text has `set_config`, a session-level advisory lock, `INTO TEMP`,
    /// `pg_temp`, or `UPDATE` with `pg_settings`, and isn't [vouched](Self::keeping_session) for. A
    /// function that changes the session from inside one of them goes unnoticed.
    pub fn changes_session(&self) -> bool {
        self.changes_session
    }
}

impl Statement {
    /// Refuses parameters that are more or fewer than the types.
    pub(crate) fn check_count(&self, params: &[&(dyn ToSql + Sync)]) -> Result<()> {
        if params.len() == self.types.len() {
            return Ok(());
        }
        Err(Error::ParameterCount {
            statement: self.name().to_owned(),
            expected: self.types.len(),
            given: params.len(),
        })
    }
}

/// The name of any SQL, as [`Statement::name`] defines it.
pub(crate) fn name(sql: &str) -> &str {
    const LONGEST: usize = 60;
    let line = sql
        .trim_start()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end();
    let name = line.strip_prefix("--").unwrap_or(line).trim_start();
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => &name[..end],
        None => name,
    }
}

/// Whether raw SQL may begin a transaction, and leave it open.
///
/// A `ROLLBACK` without one does no harm, but puts a warning into the server's log each time.
pub(crate) const fn mentions_begin(sql: &str) -> bool {
    let sql = sql.as_bytes();
    contains(sql, b"begin") || contains(sql, b"start")
}

/// Whether SQL may roll back a transaction, or a part of it.
pub(crate) const fn mentions_rollback(sql: &str) -> bool {
    let sql = sql.as_bytes();
    contains(sql, b"rollback") || contains(sql, b"abort")
}

/// Whether raw SQL mentions prepared statements: cleaning keeps those of the cache, so it can't
/// undo a `PREPARE`, nor bring back what was deallocated.
pub(crate) const fn mentions_prepared(sql: &str) -> bool {
    let sql = sql.as_bytes();
    contains(sql, b"prepare") || contains(sql, b"deallocate") || contains(sql, b"discard")
}

const fn may_change_session(sql: &str) -> bool {
    const TRUSTED: &[&[u8]] = &[
        b"select", b"insert", b"update", b"delete", b"merge", b"with", b"values", b"table",
    ];
    let sql = sql.as_bytes();
    let start = first_word(sql);
    let mut trusted = false;
    let mut i = 0;
    while i < TRUSTED.len() {
        trusted |= is_word_at(sql, start, TRUSTED[i]);
        i += 1;
    }
    !trusted
        || contains(sql, b"set_config")
        || contains(sql, b"pg_advisory_lock")
        || contains(sql, b"pg_try_advisory_lock")
        || contains(sql, b"pg_temp")
        || (contains(sql, b"pg_settings") && contains(sql, b"update"))
        || makes_temporary_table(sql)
}

/// Whether `INTO` is followed by `TEMP` or `TEMPORARY`.
const fn makes_temporary_table(sql: &[u8]) -> bool {
    let mut at = 0;
    while at < sql.len() {
        if is_word_at(sql, at, b"into") && (at == 0 || !is_in_word(sql[at - 1])) {
            let (_, rest) = sql.split_at(at + b"into".len());
            let mut next = first_word(rest);
            if is_word_at(rest, next, b"local") {
                let (_, behind) = rest.split_at(next + b"local".len());
                next += b"local".len() + first_word(behind);
            }
            if is_word_at(rest, next, b"temp") || is_word_at(rest, next, b"temporary") {
                return true;
            }
        }
        at += 1;
    }
    false
}

/// Where the first word begins, behind comments, whitespace and parentheses.
const fn first_word(sql: &[u8]) -> usize {
    let mut at = 0;
    while at < sql.len() {
        if sql[at].is_ascii_whitespace() || sql[at] == b'(' {
            at += 1;
        } else if matches_at(sql, at, b"--") {
            while at < sql.len() && sql[at] != b'\n' {
                at += 1;
            }
        } else if matches_at(sql, at, b"/*") {
            at = comment_end(sql, at);
        } else {
            break;
        }
    }
    at
}

/// Where the block comment at `at` ends; they nest.
const fn comment_end(sql: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < sql.len() {
        if matches_at(sql, at, b"/*") {
            depth += 1;
            at += 2;
        } else if matches_at(sql, at, b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

const fn is_word_at(sql: &[u8], at: usize, word: &[u8]) -> bool {
    let end = at + word.len();
    matches_at(sql, at, word) && (end == sql.len() || !is_in_word(sql[end]))
}

const fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn contains(sql: &[u8], lowercase: &[u8]) -> bool {
    let mut at = 0;
    while at < sql.len() {
        if matches_at(sql, at, lowercase) {
            return true;
        }
        at += 1;
    }
    false
}

const fn matches_at(sql: &[u8], at: usize, lowercase: &[u8]) -> bool {
    if sql.len() < at + lowercase.len() {
        return false;
    }
    let mut i = 0;
    while i < lowercase.len() {
        if sql[at + i].to_ascii_lowercase() != lowercase[i] {
            return false;
        }
        i += 1;
    }
    true
}

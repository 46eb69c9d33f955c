//! What can go wrong.

use crate::Malformed;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// JSON isn't the form of a value of LangGraph, or of a later version of the form.
    #[error("stored JSON isn't the form of a value of LangGraph")]
    MalformedValue {
        /// What is wrong with it.
        source: Malformed,
    },
    /// The schema has no tables of LangGraph's PostgreSQL saver. Name the right one.
    #[error("schema `{schema}` has no tables of LangGraph's PostgreSQL saver; name another schema")]
    NoTables {
        /// The schema.
        schema: String,
    },
    /// The tables are those of `ShallowPostgresSaver`, which keeps no history. They have the same
    /// names, and other keys.
    #[error(
        "the tables in schema `{schema}` are those of ShallowPostgresSaver, which can't be imported; \
         start its threads again"
    )]
    ShallowTables {
        /// The schema.
        schema: String,
    },
    /// The tables have a version that isn't known. For an older one, call `setup()` of LangGraph's
    /// saver first; a newer one needs a newer version of this crate.
    #[error(
        "the tables in schema `{schema}` have {}, and versions {oldest} to {newest} are known; \
         for older ones call `setup()` of LangGraph's saver first", version_or_none(*.version)
    )]
    UnsupportedTables {
        /// The schema.
        schema: String,
        /// The version, if the tables have one.
        version: Option<i32>,
        /// The oldest version that can be imported.
        oldest: i32,
        /// The newest version that can be imported.
        newest: i32,
    },
    /// LangGraph's tables couldn't be read.
    #[error("failed to read LangGraph's tables")]
    Read {
        /// Why.
        source: db::Error,
    },
    /// A column of LangGraph's tables has another type, or text that isn't UTF-8.
    #[error("a row of LangGraph's tables can't be read")]
    UnreadableRow {
        /// Which column, and why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The target failed. What was imported stays there: run the import again.
    #[error("failed to store what was read from LangGraph's tables")]
    Store {
        /// Why.
        source: checkpointer::Error,
    },
}

fn version_or_none(version: Option<i32>) -> String {
    version.map_or_else(
        || "no version".to_owned(),
        |version| format!("version {version}"),
    )
}

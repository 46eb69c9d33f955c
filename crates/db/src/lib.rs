//! A PostgreSQL connection pool with a lifecycle, migrations and honest errors.

mod connection;
mod database;
mod error;
mod identifier;
mod lifecycle;
mod migrate;
mod statement;
mod transaction;

mod condition;
mod connect;
mod driver;
mod link;
mod manager;

pub use settings::PoolMode;
pub use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{FromSql, ToSql, Type};
pub use tokio_postgres::{Row, types};

pub use crate::connect::ConnectFailure;
pub use crate::connection::Connection;
pub use crate::database::{Database, State};
pub use crate::error::{Error, Result};
pub use crate::identifier::quote_identifier;
pub use crate::lifecycle::{close_db, get_connection, init_db};
pub use crate::migrate::{Migration, Migrations};
pub use crate::statement::Statement;
pub use crate::transaction::Transaction;

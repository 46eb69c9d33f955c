//! The crate `db`, on a server.

mod cancel;
mod close;
mod connect;
mod dirty;
mod figures;
mod in_doubt;
mod killed;
mod lifecycle;
mod locks;
mod logs;
mod migrate;
mod pool;
mod refused;
mod retry;
mod runtimes;
mod schemas;
mod silence;
mod statements;
mod transaction;

use db::{Migration, Migrations};

/// A table that is made by one migration.
const SHOP: Migrations = Migrations::new(
    "shop",
    &[Migration {
        number: 1,
        name: "orders",
        sql: "CREATE TABLE {schema}.orders (id int)",
    }],
);

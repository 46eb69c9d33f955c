//! A pooler between the agents and the server: PgBouncer in transaction mode.

/// Makes two tests of each function: one behind a pooler that makes nothing of prepared statements,
/// and one behind a pooler that manages them.
macro_rules! through_each_release {
    ($($test:ident),+ $(,)?) => {
        mod old {
            $(#[tokio::test] async fn $test() { Box::pin(super::$test(rig::Release::Old)).await })+
        }
        mod new {
            $(#[tokio::test] async fn $test() { Box::pin(super::$test(rig::Release::New)).await })+
        }
    };
}

mod cancel;
mod contract;
#[cfg(target_os = "linux")]
mod cost;
mod errors;
mod leaks;
mod outages;
mod schemas;
mod statements;
mod waiting;
mod within;

use db::Database;
use rig::{PgBouncer, PrivateServer, Release, client, settings_for};
use tokio_postgres::Client;

use leaks::leftovers;

const TRANSACTION: (&str, &str) = ("DB_POOL_MODE", "transaction");

/// For what must not end by itself, on a busy machine.
const PATIENT: [(&str, &str); 3] = [
    ("DB_ACQUIRE_TIMEOUT", "2min"),
    ("DB_CONNECT_TIMEOUT", "2min"),
    ("DB_STATEMENT_TIMEOUT", "2min"),
];

/// A server, and the pooler before it.
struct Pooled {
    server: PrivateServer,
    pooler: PgBouncer,
}

impl Pooled {
    /// Starts both. The pooler opens `connections` to the server at most.
    async fn start(release: Release, connections: usize) -> Self {
        Self::with(release, connections, &[]).await
    }

    /// The same with further settings of the pooler.
    async fn with(release: Release, connections: usize, settings: &[(&str, &str)]) -> Self {
        let connections = connections.to_string();
        let own = [
            ("default_pool_size", &*connections),
            ("max_client_conn", "1000"),
        ];
        let settings: Vec<_> = own.iter().chain(settings).copied().collect();
        let server = PrivateServer::start(&[]).await.unwrap();
        let pooler = PgBouncer::before(server.port(), release, &settings).await;
        let pooler = pooler.unwrap();
        Self { server, pooler }
    }

    /// Connects through the pooler, in its mode.
    async fn connect(&self, variables: &[(&str, &str)]) -> Database {
        let variables: Vec<_> = [TRANSACTION].iter().chain(variables).copied().collect();
        let settings = settings_for(&self.pooler.url(), &variables);
        Database::connect(&settings).await.unwrap()
    }

    /// The driver's own connection to the server, to look from outside.
    async fn observer(&self) -> Client {
        client(&self.server.url()).await.unwrap()
    }
}

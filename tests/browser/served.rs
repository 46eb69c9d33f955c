//! The page as it is served, on a schema of the test's own.

use std::sync::Arc;

use checkpointer::PostgresCheckpointer;
use checkpointer::db::Database;
use inspector::page::{Options, router};
use rig::{TcpProxy, TestDb};
use tokio::net::TcpListener;

/// A page that is served until the test ends.
pub(crate) struct Served {
    pub(crate) checkpointer: PostgresCheckpointer,
    url: String,
}

impl Served {
    pub(crate) async fn new(options: Options) -> Self {
        Self::on(&TestDb::new().await, options).await
    }

    /// Serves the threads in a schema.
    pub(crate) async fn on(db: &TestDb, options: Options) -> Self {
        Self::from(db.connect(&[]).await, options).await
    }

    /// Serves threads that are read by way of a proxy.
    pub(crate) async fn through(proxy: &TcpProxy) -> Self {
        let settings = TestDb::new().await.settings_through(proxy, &[]);
        let database = Database::connect(&settings).await.unwrap();
        Self::from(database, Options::new()).await
    }

    async fn from(database: Database, options: Options) -> Self {
        let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/inspector/", listener.local_addr().unwrap());
        let page = router(Arc::new(checkpointer.clone()), options);
        let service = axum::Router::new().nest("/inspector", page);
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { checkpointer, url }
    }

    pub(crate) fn url(&self, link: &str) -> String {
        format!("{}{link}", self.url)
    }
}

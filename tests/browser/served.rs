//! The page as it is served, on a schema of the test's own.

use std::sync::Arc;

use checkpointer::PostgresCheckpointer;
use inspector::page::{Options, router};
use rig::TestDb;
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
        let database = db.connect(&[]).await;
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

//! The page as a part of a service of your own: `cargo run -p inspector --example mounted`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use checkpointer::{PostgresCheckpointer, db, settings};
use inspector::page::{Options, router};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    // The name under which browsers reach the service.
    let page = router(
        Arc::new(checkpointer),
        Options::new().host("agents.example.com"),
    );

    let service = Router::new()
        .route("/", get("An agent"))
        // What is nested before the login of the service is behind it: `.route_layer(login)`.
        .nest("/inspector", page);
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, service)
        .with_graceful_shutdown(interrupted)
        .await?;
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}

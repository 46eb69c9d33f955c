//! A server that goes down and comes back.

use bench::{PrivateServer, Stop};
use checkpointer::{PostgresCheckpointer, Threads as _};
use settings::Settings;

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_server_crashed() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let settings = Settings::from_url(&server.url()).unwrap();
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut thread = checkpointer.thread::<Vec<u32>>("counter").unwrap();
    thread.save(&vec![1, 2, 3]).await.unwrap();

    server.stop(Stop::Immediate).await.unwrap();
    server.start_again().await.unwrap();

    // Over the pool that lost all its connections.
    assert_eq!(thread.load().await.unwrap(), Some(vec![1, 2, 3]));
    thread.save(&vec![1, 2, 3, 4]).await.unwrap();
}

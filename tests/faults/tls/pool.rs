//! A pool over TLS.

use checkpointer::PostgresCheckpointer;
use futures_util::future::join_all;
use rig::eventually;

use super::authority::Authority;
use super::server::{Outcome, TlsServer, seen};

#[tokio::test]
async fn a_pool_works_over_tls() {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    let root = server.file("root.crt", &authority.certificate());
    let variables = [
        ("DB_SSLMODE", "verify-full"),
        ("DB_SSLROOTCERT", root.to_str().unwrap()),
        ("DB_POOL_MAX", "5"),
    ];
    let database = server.connect("postgres", &variables).await.unwrap();
    let outcomes = join_all((0..20).map(|_| seen(&database))).await;
    assert!(outcomes.iter().all(|seen| *seen == Outcome::Encrypted));

    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut thread = checkpointer.thread::<Vec<u32>>("counter").unwrap();
    thread.save(&(0..10_000).collect()).await.unwrap();
    assert_eq!(thread.load().await.unwrap().unwrap().len(), 10_000);
}

#[tokio::test]
async fn certificates_that_were_renewed_count_at_the_next_connection() {
    let old = Authority::new();
    let server = TlsServer::with(&old.issue("localhost")).await;
    let root = server.file("root.crt", &old.certificate());
    let variables = [
        ("DB_SSLMODE", "verify-full"),
        ("DB_SSLROOTCERT", root.to_str().unwrap()),
    ];
    let database = server.connect("either", &variables).await.unwrap();
    assert_eq!(seen(&database).await, Outcome::Encrypted);

    let new = Authority::new();
    server.file("root.crt", &new.certificate());
    // It ends all connections.
    server.present(&new.issue("localhost")).await;
    eventually("the pool has read the files again", async || {
        database.ping().await.is_ok()
    })
    .await;
    assert_eq!(seen(&database).await, Outcome::Encrypted);
}

//! Calls that wait in the pooler until a server connection is free.

use std::time::Duration;

use db::{GenericClient, Statement};
use rig::{Figures, Release, client};

use super::Pooled;

static ONE: Statement = Statement::new("-- tests::one\nSELECT 1", &[]);

async fn connections_that_have_rested_are_lent_while_the_pooler_is_busy(release: Release) {
    const CONNECTIONS: usize = 3;
    let figures = Figures::default();
    let _recording = figures.record();
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&[]).await;
    let mut lent = Vec::new();
    for _ in 0..CONNECTIONS {
        lent.push(db.get().await.unwrap());
    }
    lent.clear();
    let other = client(&pooled.pooler.url()).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();

    // The only connection to the server is taken until the end.
    other.batch_execute("BEGIN").await.unwrap();
    for _ in 0..CONNECTIONS {
        lent.push(db.get().await.unwrap());
    }
    let query = lent[0].query(&ONE, &[]);
    let (answer, committed) = tokio::join!(query, other.batch_execute("COMMIT"));
    answer.unwrap();
    committed.unwrap();
    lent.clear();
    for reason in ["lost", "discarded", "retired"] {
        let closed = figures.counter("db_pool_disconnects_total", &[("reason", reason)]);
        assert_eq!(closed, 0, "{reason}");
    }
}

through_each_release!(connections_that_have_rested_are_lent_while_the_pooler_is_busy);

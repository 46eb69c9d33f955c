//! A server that crashes in the middle of a transaction of the caller's.

use checkpointer::{PostgresCheckpointer, Result};
use db::GenericClient;
use rig::{NOTES, PrivateServer, Stop, settings_for};

/// Where the server crashes.
#[derive(Debug, Clone, Copy)]
enum At {
    Row,
    Save,
    Commit,
}

#[tokio::test]
async fn a_crash_of_the_server_leaves_the_row_and_the_checkpoint_or_neither() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let settings = settings_for(&server.url(), &[]);
    let database = db::Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    NOTES.apply(&database).await.unwrap();
    let insert = db::Statement::in_schema(
        "INSERT INTO {schema}.notes VALUES ($1, 'a note')",
        vec![db::Type::INT8],
        NOTES.schema(&database),
    );
    let count = db::Statement::in_schema(
        "SELECT count(*) FROM {schema}.notes",
        Vec::new(),
        NOTES.schema(&database),
    );
    let mut thread = checkpointer.thread::<Vec<i64>>("notes").unwrap();
    let crash = async || server.stop(Stop::Immediate).await.unwrap();
    let mut noted = Vec::new();
    for (number, at) in (1_i64..).zip([At::Row, At::Save, At::Commit]) {
        let mut next = noted.clone();
        next.push(number);
        let ended: Result<()> = database
            .transaction(async |tx| {
                tx.execute(&insert, &[&number]).await?;
                if let At::Row = at {
                    crash().await;
                }
                thread.save_within(tx, &next).await?;
                if let At::Save = at {
                    crash().await;
                }
                Ok(())
            })
            .await;
        if let At::Commit = at {
            ended.unwrap();
            noted = next;
            crash().await;
        } else {
            ended.unwrap_err();
        }
        server.start_again().await.unwrap();
        database.ping().await.ok();
        let stored = thread.load().await.unwrap().unwrap_or_default();
        assert_eq!(stored, noted, "{at:?}");
        let rows = database.retry("count").run(|| async {
            let connection = database.get().await?;
            connection.query_one(&count, &[]).await
        });
        let rows: i64 = rows.await.unwrap().get(0);
        assert_eq!(rows, noted.len() as i64, "{at:?}");
    }
}

//! The database of a whole process.

use db::{Error, GenericClient, close_db, get_connection, init_db};
use expect_test::expect;
use futures_util::FutureExt;

use rig::{TestDb, at_every_poll, chain, eventually};

/// One test for everything: the process has one such database.
#[tokio::test]
async fn the_process_has_one_database_at_a_time() {
    let test = TestDb::without_schema().await;
    let settings = test.settings(&[]);
    let observer = test.observer().await;

    let error = get_connection().await.unwrap_err();
    expect![[r#"
        the database is not initialised; call `init_db` first
    "#]]
    .assert_eq(&chain(&error));
    close_db().await.unwrap();

    // One that is dropped, or fails, leaves everything as it was.
    assert!(init_db(&settings).now_or_never().is_none());
    assert!(matches!(get_connection().await, Err(Error::NotInitialised)));
    let nowhere = test.settings_for("postgres://nobody@no..host", &[]);
    assert!(matches!(
        init_db(&nowhere).await,
        Err(Error::Connect { .. })
    ));
    assert!(matches!(get_connection().await, Err(Error::NotInitialised)));

    for round in 0..3 {
        let (first, second) = tokio::join!(init_db(&settings), init_db(&settings));
        let db = first.unwrap();
        let error = second.unwrap_err();
        expect![[r#"
            the database is already initialised; call `close_db` before another `init_db`
        "#]]
        .assert_eq(&chain(&error));
        assert!(matches!(
            init_db(&settings).await,
            Err(Error::AlreadyInitialised)
        ));
        let connection = get_connection().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        assert_eq!(db.state().in_use, 1, "in round {round}");

        // A close that is dropped can be finished.
        assert!(close_db().now_or_never().is_none());
        assert!(matches!(get_connection().await, Err(Error::Closed)));
        assert!(matches!(
            init_db(&settings).await,
            Err(Error::AlreadyInitialised)
        ));
        drop(connection);
        close_db().await.unwrap();
        close_db().await.unwrap();
        let error = get_connection().await.unwrap_err();
        expect![[r#"
            the database is closed; `init_db` or `Database::connect` opens it again
        "#]]
        .assert_eq(&chain(&error));
        eventually("all is closed", async || {
            test.backends(&observer, "true").await == 0
        })
        .await;
    }

    // Every call may be dropped at any of its polls.
    let every_poll = async || {
        at_every_poll(async || init_db(&settings).await.unwrap(), async || ()).await;
        let sound = async || {
            get_connection()
                .await
                .unwrap()
                .batch_execute("")
                .await
                .unwrap()
        };
        at_every_poll(async || drop(get_connection().await.unwrap()), sound).await;
        at_every_poll(
            async || close_db().await.unwrap(),
            async || {
                assert!(matches!(get_connection().await, Err(Error::Closed)));
            },
        )
        .await;
    };
    every_poll().await;
    every_poll().await;
    eventually("all is closed", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
}

//! A server that can't do what it is asked for: each time with a message of its own, and afterwards
//! everything works again over the same pool.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointer::{Error, PostgresCheckpointer, Thread};
use db::{Database, GenericClient, Statement};
use expect_test::{Expect, expect};
use rig::{PrivateServer, Stop, chain, client, eventually, settings_for};

use crate::pair::reload;

async fn set_up(url: &str, variables: &[(&str, &str)]) -> (Database, PostgresCheckpointer) {
    let database = Database::connect(&settings_for(url, variables))
        .await
        .unwrap();
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    (database, checkpointer)
}

/// Compares what is said, and whether another attempt may succeed. Times are left out.
#[track_caller]
fn check(error: &(dyn std::error::Error + 'static), transient: bool, expect: &Expect) {
    let is_transient = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(error), _) => db::Error::is_transient(error),
        (_, Some(error)) => Error::is_transient(error),
        _ => panic!("{error:?}"),
    };
    assert_eq!(is_transient, transient);
    let mut text = chain(error);
    for before in ["(tried for ", "opened within "] {
        if let Some((head, tail)) = text.split_once(before) {
            let tail =
                tail.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 'm');
            text = format!("{head}{before}TIME{}", tail.trim_start_matches('s'));
        }
    }
    if let Some((head, tail)) = text.split_once("\"pg_tblspc/") {
        let (_, tail) = tail.split_once('"').unwrap();
        text = format!("{head}FILE{tail}");
    }
    if let Some((head, tail)) = text.split_once("127.0.0.1:") {
        let tail = tail.trim_start_matches(|c: char| c.is_ascii_digit());
        text = format!("{head}HOST{tail}");
    }
    expect.assert_eq(&text);
}

/// A text that isn't stored with the checkpoint.
fn large(number: usize) -> Vec<String> {
    (0..number)
        .map(|item| format!("item {item} ").repeat(40))
        .collect()
}

#[tokio::test]
async fn a_server_without_room_for_another_connection_says_so() {
    let server = PrivateServer::start(&[("max_connections", "8")])
        .await
        .unwrap();
    let admin = client(&server.url()).await.unwrap();
    admin
        .batch_execute("CREATE ROLE agent LOGIN; GRANT CREATE ON DATABASE postgres TO agent")
        .await
        .unwrap();
    let url = server.url().replace("postgres@", "agent@");
    let brief = [
        ("DB_ACQUIRE_TIMEOUT", "300ms"),
        ("DB_STARTUP_TIMEOUT", "0"),
        ("DB_POOL_MIN", "0"),
    ];
    let (database, checkpointer) = set_up(&url, &brief).await;
    let mut held = vec![database.get().await.unwrap()];

    // Sessions that just ended may give room for a moment.
    let mut others = Vec::new();
    let error = loop {
        match client(&url).await {
            Ok(client) => others.push(client),
            Err(_) => match database.get().await {
                Ok(connection) => held.push(connection),
                Err(error) => break error,
            },
        }
    };
    check(
        &error,
        true,
        &expect![[r#"
        no connection could be opened within TIME
        failed to connect to `HOST/postgres`: the server has no room for another connection (tried for TIME)
        db error
        FATAL: remaining connection slots are reserved for non-replication superuser connections
    "#]],
    );
    let refused = Database::connect(&settings_for(&url, &brief))
        .await
        .unwrap_err();
    check(
        &refused,
        true,
        &expect![[r#"
        failed to connect to `HOST/postgres`: the server has no room for another connection (tried for TIME)
        db error
        FATAL: remaining connection slots are reserved for non-replication superuser connections
    "#]],
    );

    // A write waits until there is room.
    let mut thread = checkpointer.thread::<Vec<String>>("crowded").unwrap();
    let state = large(20);
    let saving = tokio::spawn(async move { thread.save(&state).await });
    drop(others);
    saving.await.unwrap().unwrap();
    drop(held);
}

#[tokio::test]
async fn a_role_without_room_for_another_connection_says_so() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let admin = client(&server.url()).await.unwrap();
    admin.batch_execute("CREATE ROLE agent LOGIN CONNECTION LIMIT 1; GRANT CREATE ON DATABASE postgres TO agent").await.unwrap();
    let url = server.url().replace("postgres@", "agent@");
    let brief = [("DB_ACQUIRE_TIMEOUT", "300ms"), ("DB_POOL_MIN", "0")];
    let (database, checkpointer) = set_up(&url, &brief).await;
    let held = database.get().await.unwrap();
    check(
        &database.get().await.unwrap_err(),
        true,
        &expect![[r#"
        no connection could be opened within TIME
        failed to connect to `HOST/postgres`: the server has no room for another connection (tried for TIME)
        db error
        FATAL: too many connections for role "agent"
    "#]],
    );
    // One is enough: the next caller that waits gets it.
    drop(held);
    let mut thread = checkpointer.thread::<Vec<String>>("narrow").unwrap();
    thread.save(&large(20)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_waited_for() {
    static WRITE: Statement = Statement::new("-- test::write\nCREATE TABLE t ()", &[]);
    let server = PrivateServer::start(&[]).await.unwrap();
    let (database, checkpointer) = set_up(&server.url(), &[]).await;
    let mut thread = checkpointer.thread::<Vec<String>>("read-only").unwrap();
    thread.save(&large(5)).await.unwrap();

    let admin = client(&server.url()).await.unwrap();
    let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
    admin.batch_execute(read_only).await.unwrap();
    reload(&server).await;
    let refused = database.get().await.unwrap().execute(&WRITE, &[]).await;
    check(
        &refused.unwrap_err(),
        true,
        &expect![[r#"
        `test::write` failed: the server is read-only
        db error
        ERROR: cannot execute CREATE TABLE in a read-only transaction
    "#]],
    );
    assert_eq!(thread.load().await.unwrap(), Some(large(5)), "reads go on");
    let saving = tokio::spawn(async move {
        let saved = thread.save(&large(10)).await;
        saved.map(|_| thread)
    });
    eventually("the write is refused", async || {
        let log = std::fs::read_to_string(server.workspace().path().join("server.log")).unwrap();
        log.contains("checkpointer::put")
    })
    .await;
    let writable =
        "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only";
    for sql in writable.split("; ") {
        admin.batch_execute(sql).await.unwrap();
    }
    reload(&server).await;
    let mut thread = saving.await.unwrap().unwrap();
    assert_eq!(thread.load().await.unwrap(), Some(large(10)));
}

#[tokio::test]
async fn a_full_disk_is_named_and_writes_go_on_when_there_is_room() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let disk = SmallDisk::mount(&server, 2);
    let admin = client(&server.url()).await.unwrap();
    let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", disk.path.display());
    admin.batch_execute(&tablespace).await.unwrap();
    let default = "ALTER DATABASE postgres SET default_tablespace = small";
    admin.batch_execute(default).await.unwrap();
    let (database, checkpointer) = set_up(&server.url(), &[]).await;
    let mut thread = checkpointer.thread::<Vec<String>>("small").unwrap();
    thread.save(&large(5)).await.unwrap();

    // Fills what is left, down to the last page.
    static FILL: Statement = Statement::new(
        "-- test::fill\nINSERT INTO fill SELECT repeat('x', 7000) FROM generate_series(1, 10000)",
        &[],
    );
    let table = "CREATE TABLE fill (content text) TABLESPACE small; ALTER TABLE fill ALTER content SET STORAGE PLAIN";
    admin.batch_execute(table).await.unwrap();
    let full = database.get().await.unwrap().execute(&FILL, &[]).await;
    check(
        &full.unwrap_err(),
        true,
        &expect![[r#"
        `test::fill` failed: the server's disk is full
        db error
        ERROR: could not extend file FILE: No space left on device
        HINT: Check free disk space.
    "#]],
    );

    let saving = tokio::spawn(async move {
        let saved = thread.save(&large(300)).await;
        saved.map(|_| thread)
    });
    eventually("the write is refused", async || {
        let log = std::fs::read_to_string(server.workspace().path().join("server.log")).unwrap();
        log.contains("checkpointer::put")
    })
    .await;
    admin
        .batch_execute("DROP TABLE fill; CHECKPOINT")
        .await
        .unwrap();
    let mut thread = saving.await.unwrap().unwrap();
    assert_eq!(thread.load().await.unwrap(), Some(large(300)));
    server.stop(Stop::Fast).await.unwrap();
}

/// A file system of a few MiB, in memory.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(server: &PrivateServer, mebibytes: u32) -> Self {
        let path = server.workspace().path().join("small");
        std::fs::create_dir(&path).unwrap();
        let owner = std::fs::metadata(server.workspace().path()).unwrap();
        let (uid, gid) = (owner.uid(), owner.gid());
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={mebibytes}m,mode=0700,uid={uid},gid={gid}"))
            .arg("tmpfs")
            .arg(&path)
            .output();
        let mounted = output.as_ref().is_ok_and(|output| output.status.success());
        assert!(
            mounted,
            "mounting a small tmpfs needs root with CAP_SYS_ADMIN: {output:?}"
        );
        Self { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
    }
}

#[tokio::test]
async fn a_server_without_memory_is_named_and_works_again_with_memory() {
    static BIG: Statement =
        Statement::new("-- test::big\nSELECT length(repeat('x', 300000000))", &[]);
    static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);
    let server = PrivateServer::start(&[]).await.unwrap();
    let (database, checkpointer) = set_up(&server.url(), &[("DB_POOL_MAX", "1")]).await;
    let mut thread = checkpointer.thread::<Vec<String>>("poor").unwrap();
    thread.save(&large(5)).await.unwrap();

    let connection = database.get().await.unwrap();
    let pid: i32 = connection.query_one(&PID, &[]).await.unwrap().get(0);
    let limit = ["--pid", &pid.to_string(), "--as=400000000:unlimited"];
    let prlimit = Path::new("prlimit");
    server.workspace().run(prlimit, limit).unwrap();
    let refused = connection.query(&BIG, &[]).await.unwrap_err();
    check(
        &refused,
        true,
        &expect![[r#"
        `test::big` failed: the server is out of memory
        db error
        ERROR: out of memory
        DETAIL: Failed on request of size 300000004 in memory context "ExprContext".
    "#]],
    );
    drop(connection);
    // The same connection.
    thread.save(&large(10)).await.unwrap();
}

#[tokio::test]
async fn a_table_that_somebody_locked_is_waited_for_as_long_as_a_limit_allows() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let impatient = [("DB_STATEMENT_TIMEOUT", "2s"), ("DB_RETRY_TIMEOUT", "0")];
    let (_, checkpointer) = set_up(&server.url(), &impatient).await;
    let mut thread = checkpointer.thread::<Vec<String>>("locked").unwrap();
    thread.save(&large(5)).await.unwrap();
    let mut admin = client(&server.url()).await.unwrap();
    let lock = admin.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE checkpointer.chunks")
        .await
        .unwrap();
    let error = thread.save(&large(10)).await.unwrap_err();
    check(
        &error,
        true,
        &expect![[r#"
        failed to put a checkpoint
        `checkpointer::put` failed: another session has held a lock for too long
        db error
        ERROR: canceling statement due to lock timeout
    "#]],
    );
    lock.rollback().await.unwrap();
    thread.save(&large(10)).await.unwrap();

    // Half of the time for a statement is the limit, unless the URL names another one.
    let url = format!("{}?options=-c%20lock_timeout%3D100", server.url());
    let (database, checkpointer) = set_up(&url, &[]).await;
    let mut thread = checkpointer.thread::<Vec<String>>("locked").unwrap();
    thread.load().await.unwrap();
    let lock = admin.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE checkpointer.threads")
        .await
        .unwrap();
    static READ: Statement = Statement::new("-- test::read\nSELECT FROM checkpointer.threads", &[]);
    let error = database.get().await.unwrap().query(&READ, &[]).await;
    check(
        &error.unwrap_err(),
        true,
        &expect![[r#"
        `test::read` failed: another session has held a lock for too long
        db error
        ERROR: canceling statement due to lock timeout
    "#]],
    );
    // That is worth another attempt, and another.
    let saving = tokio::spawn(async move { thread.save(&large(15)).await });
    lock.rollback().await.unwrap();
    saving.await.unwrap().unwrap();
}

async fn saved_as(checkpointer: &PostgresCheckpointer, items: usize) -> Result<(), Error> {
    let mut thread: Thread<Vec<String>> = checkpointer.thread("support-4711").unwrap();
    thread.load().await?;
    thread.save(&large(items)).await.map(|_| ())
}

#[tokio::test]
async fn a_missing_privilege_is_named_and_a_grant_is_enough() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let admin = client(&server.url()).await.unwrap();
    admin
        .batch_execute("CREATE ROLE agent LOGIN")
        .await
        .unwrap();
    let url = server.url().replace("postgres@", "agent@");
    let database = Database::connect(&settings_for(&url, &[])).await.unwrap();
    let error = PostgresCheckpointer::setup(database.clone())
        .await
        .unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to migrate the tables
        the role may not apply the migrations of `checkpointer`: let another role apply `Migrations::sql`, and only verify them with this one
        `CREATE SCHEMA "checkpointer"` failed: the role lacks a privilege
        db error
        ERROR: permission denied for database postgres
    "#]],
    );

    set_up(&server.url(), &[]).await;
    let error = PostgresCheckpointer::open(database.clone())
        .await
        .unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to verify the tables
        `db::read_migrations` failed: the role lacks a privilege
        db error
        ERROR: permission denied for schema checkpointer
    "#]],
    );

    let grant = "GRANT USAGE ON SCHEMA checkpointer TO agent; \
         GRANT SELECT ON checkpointer.checkpointer_migrations TO agent";
    admin.batch_execute(grant).await.unwrap();
    let checkpointer = PostgresCheckpointer::open(database).await.unwrap();
    let error = saved_as(&checkpointer, 5).await.unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to get a checkpoint
        `checkpointer::get_tuple` failed: the role lacks a privilege
        db error
        ERROR: permission denied for table chunks
    "#]],
    );

    let grant = "GRANT SELECT ON ALL TABLES IN SCHEMA checkpointer TO agent";
    admin.batch_execute(grant).await.unwrap();
    let error = saved_as(&checkpointer, 5).await.unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to put a checkpoint
        `checkpointer::put` failed: the role lacks a privilege
        db error
        ERROR: permission denied for table threads
    "#]],
    );

    let grant = "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA checkpointer TO agent";
    admin.batch_execute(grant).await.unwrap();
    saved_as(&checkpointer, 5).await.unwrap();
}

#[tokio::test]
async fn a_missing_schema_is_named_and_a_new_one_is_enough() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let admin = client(&server.url()).await.unwrap();
    let database = Database::connect(&settings_for(&server.url(), &[]))
        .await
        .unwrap();
    let error = PostgresCheckpointer::open(database.clone())
        .await
        .unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to verify the tables
        schema `checkpointer` has no tables of `checkpointer`: apply the migrations (`setup` or `apply`), unless its name is wrong
    "#]],
    );

    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut thread = checkpointer.thread::<Vec<String>>("dropped").unwrap();
    thread.save(&large(50)).await.unwrap();
    admin
        .batch_execute("DROP SCHEMA checkpointer CASCADE")
        .await
        .unwrap();
    let error = thread.save(&large(51)).await.unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to put a checkpoint
        `checkpointer::put` failed: a schema or a table is missing
        db error
        ERROR: relation "checkpointer.threads" does not exist
    "#]],
    );
    let error = thread.load().await.unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        failed to get a checkpoint
        `checkpointer::get_tuple` failed: a schema or a table is missing
        db error
        ERROR: relation "checkpointer.checkpoints" does not exist
    "#]],
    );

    set_up(&server.url(), &[]).await;
    // It's gone with all that the checkpointer believes to be stored.
    let error = thread.save(&large(51)).await.unwrap_err();
    check(
        &error,
        false,
        &expect![[r#"
        thread `dropped` was deleted; only a first checkpoint starts it again
    "#]],
    );
    assert_eq!(thread.load().await.unwrap(), None);
    thread.save(&large(51)).await.unwrap();
    let (_, other) = set_up(&server.url(), &[]).await;
    let mut other = other.thread::<Vec<String>>("dropped").unwrap();
    assert_eq!(other.load().await.unwrap(), Some(large(51)));
}

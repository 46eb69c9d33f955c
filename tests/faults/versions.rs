//! Two versions of PostgreSQL: what one has stored, the other goes on with.

use checkpointer::PostgresCheckpointer;
use db::Database;
use rig::{PrivateServer, Programs, settings_for};

const FILE: &str = "dump.sql";

#[tokio::test]
async fn a_dump_restored_into_a_newer_server_goes_on() {
    let own = Programs::find().unwrap();
    let other = Programs::find_major(Some(own.other_major())).unwrap();
    // They may be the only ones here that can dump: they read older servers as well.
    let tools = own.clone();
    let (older, newer) = if own.major() < other.major() {
        (own, other)
    } else {
        (other, own)
    };
    let older = PrivateServer::run(older, &[]).await.unwrap();
    let newer = PrivateServer::run(newer, &[]).await.unwrap();

    let mut history: Vec<_> = (0..500).map(|n| format!("message {n}, of many")).collect();
    let before = PostgresCheckpointer::setup(connect(&older).await);
    let mut thread = before.await.unwrap().thread("dumped").unwrap();
    let first = thread.save(&history).await.unwrap();
    history.push("and one more".to_owned());
    thread.save(&history).await.unwrap();

    // A server without lz4 refuses columns that are compressed with that.
    let options = [
        format!("--file={FILE}"),
        "--no-toast-compression".to_owned(),
    ];
    run(&older, &tools, "pg_dump", &options);
    let dump = std::fs::read(older.workspace().path().join(FILE)).unwrap();
    newer.workspace().write(FILE, dump).unwrap();
    let options = [format!("--file={FILE}"), "--set=ON_ERROR_STOP=1".to_owned()];
    run(&newer, &tools, "psql", &options);

    let after = PostgresCheckpointer::open(connect(&newer).await);
    let mut thread = after.await.unwrap().thread("dumped").unwrap();
    assert_eq!(thread.load().await.unwrap().as_ref(), Some(&history));
    history.push("stored by another version".to_owned());
    thread.save(&history).await.unwrap();
    assert_eq!(thread.load().await.unwrap().as_ref(), Some(&history));
    let first = thread.at(&first.checkpoint_id).await.unwrap();
    assert_eq!(first, history[..500]);
}

async fn connect(server: &PrivateServer) -> Database {
    Database::connect(&settings_for(&server.url(), &[]))
        .await
        .unwrap()
}

/// Runs one of PostgreSQL's programs on a server.
fn run(server: &PrivateServer, tools: &Programs, program: &str, options: &[String]) {
    let url = format!("--dbname={}", server.url());
    let options = [&url].into_iter().chain(options);
    let program = tools.program(program);
    server.workspace().run(&program, options).unwrap();
}

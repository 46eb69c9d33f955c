//! The migrations of the checkpointer, applied by a program and by hand.

use std::path::Path;

use checkpointer::PostgresCheckpointer;
use db::{Database, GenericClient};
use rig::{PrivateServer, Programs, chain, settings_for};

const SCHEMA: &str = "own \"schema\"";

/// Connects to a database of the server.
async fn connect(server: &PrivateServer, name: &str) -> Database {
    let url = server.url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}");
    let settings = settings_for(&url, &[("DB_SCHEMA", SCHEMA)]);
    Database::connect(&settings).await.unwrap()
}

/// Runs one of PostgreSQL's programs on a database.
fn run(server: &PrivateServer, program: &str, database: &str, arguments: &[&str]) {
    let port = server.port().to_string();
    let connection = [
        "--host=127.0.0.1",
        "--username=postgres",
        "--port",
        &port,
        "--dbname",
        database,
    ];
    let program = Programs::find().unwrap().program(program);
    let arguments = connection.iter().chain(arguments);
    server.workspace().run(&program, arguments).unwrap();
}

/// The schema as `pg_dump` writes it down, without the account's times.
fn schema(server: &PrivateServer, database: &str) -> String {
    let file = format!("{database}.dump");
    let to_file = format!("--file={file}");
    run(server, "pg_dump", database, &["--schema-only", &to_file]);
    let dump = std::fs::read_to_string(server.workspace().path().join(file)).unwrap();
    // Newer versions begin and end with a key that differs each time.
    let lines = dump.lines().filter(|line| !line.contains("restrict "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_sql_applied_by_hand_makes_the_schema_that_a_program_makes() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let admin = Database::connect(&settings_for(&server.url(), &[]))
        .await
        .unwrap();
    for name in ["by_program", "by_hand"] {
        let create = format!("CREATE DATABASE {name}");
        admin
            .get()
            .await
            .unwrap()
            .batch_execute(&create)
            .await
            .unwrap();
    }
    let program = connect(&server, "by_program").await;
    PostgresCheckpointer::setup(program).await.unwrap();

    let by_hand = connect(&server, "by_hand").await;
    let migrations = PostgresCheckpointer::migrations();
    let error = migrations.verify(&by_hand).await.unwrap_err();
    assert!(
        matches!(error, db::Error::DatabaseOlder { .. }),
        "{}",
        chain(&error)
    );
    // As a user does who began with the first release and updates from it.
    let all = migrations.sql(SCHEMA);
    let (first, _) = all.split_once("\n-- 2: ").unwrap();
    let first = format!("{first}\nCOMMIT;\n");
    for sql in [first, migrations.sql_after(SCHEMA, 1)] {
        let file = server.workspace().write("migrations.sql", sql);
        let file = format!("--file={}", file.as_deref().map(Path::display).unwrap());
        let arguments = ["--set=ON_ERROR_STOP=1", "--quiet", &file];
        run(&server, "psql", "by_hand", &arguments);
    }

    migrations.verify(&by_hand).await.unwrap();
    PostgresCheckpointer::open(by_hand.clone()).await.unwrap();
    // Nothing is left to do.
    PostgresCheckpointer::setup(by_hand).await.unwrap();
    let (by_hand, by_program) = (schema(&server, "by_hand"), schema(&server, "by_program"));
    assert!(by_program.contains("CREATE TABLE \"own \"\"schema\"\"\".checkpoints"));
    similar(&by_hand, &by_program);
}

#[track_caller]
fn similar(a: &str, b: &str) {
    for (a, b) in a.lines().zip(b.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(a.lines().count(), b.lines().count());
}

//! Migrations: by one process at a time, all or none.

use std::process::Stdio;
use std::time::Duration;

use db::{Database, Error, Migration, Migrations, quote_identifier};
use expect_test::expect;
use futures_util::future::join_all;
use settings::Settings;
use tokio::process::Command;

use rig::{TestDb, chain, eventually};

const ONE: Migration = Migration {
    number: 1,
    name: "one",
    sql: "CREATE TABLE {schema}.one (id bigint PRIMARY KEY);",
};
const TWO: Migration = Migration {
    number: 2,
    name: "two",
    sql: "CREATE TABLE {schema}.two (id bigint REFERENCES {schema}.one);\n\
          CREATE INDEX two_id ON {schema}.two (id)",
};
const FIRST: Migrations = Migrations::new("shop", &[ONE]);
const BOTH: Migrations = Migrations::new("shop", &[ONE, TWO]);

/// The child process's schema.
const CHILD: &str = "TEST_MIGRATE_SCHEMA";

async fn tables(test: &TestDb) -> Vec<String> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1 ORDER BY 1";
    let rows = test
        .observer()
        .await
        .query(sql, &[&test.schema()])
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn account(test: &TestDb, sql: &str) {
    let sql = sql.replace("{account}", &format!("{}.shop_migrations", test.schema()));
    test.observer().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_applied_and_the_rest_left_alone() {
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let db = test
            .connect(&[("DB_POOL_MODE", mode), ("DB_POOL_MAX", "1")])
            .await;
        let error = BOTH.verify(&db).await.unwrap_err();
        assert!(matches!(
            error,
            Error::DatabaseOlder {
                database: 0,
                program: 2,
                ..
            }
        ));
        FIRST.apply(&db).await.unwrap();
        FIRST.verify(&db).await.unwrap();
        assert!(matches!(
            BOTH.verify(&db).await,
            Err(Error::DatabaseOlder {
                database: 1,
                program: 2,
                ..
            })
        ));
        BOTH.apply(&db).await.unwrap();
        BOTH.apply(&db).await.unwrap();
        BOTH.verify(&db).await.unwrap();
        assert_eq!(tables(&test).await, ["one", "shop_migrations", "two"]);
    }
}

#[tokio::test]
async fn any_limit_may_be_chosen_for_the_wait_for_another_process() {
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let db = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let days = Duration::from_secs(60 * 24 * 60 * 60);
        for limit in [Duration::MAX, days, Duration::ZERO] {
            BOTH.lock_timeout(limit).apply(&db).await.unwrap();
        }
        BOTH.verify(&db).await.unwrap();
    }
}

#[tokio::test]
async fn eight_processes_migrate_an_empty_database_at_once() {
    if let Ok(schema) = std::env::var(CHILD) {
        return child(&schema).await;
    }
    let test = TestDb::without_schema().await;
    let mut children = Vec::new();
    for _ in 0..8 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "db::migrate::eight_processes_migrate_an_empty_database_at_once",
            ])
            .env(CHILD, test.schema())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        children.push(child.unwrap());
    }
    for child in children {
        let output = child.wait_with_output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    assert_eq!(
        tables(&test).await,
        ["one", "other_migrations", "shop_migrations", "two"]
    );
}

/// One of the eight; another set in the same schema is in a hurry, too.
async fn child(schema: &str) {
    const OTHER: Migrations = Migrations::new(
        "other",
        &[Migration {
            number: 1,
            name: "nothing",
            sql: "SELECT 1",
        }],
    );
    let test = TestDb::without_schema().await;
    let db = Database::connect(&test.settings(&[("DB_SCHEMA", schema)]))
        .await
        .unwrap();
    let (shop, other) = tokio::join!(BOTH.apply(&db), OTHER.apply(&db));
    shop.unwrap();
    other.unwrap();
}

#[tokio::test]
async fn programs_that_verify_and_then_apply_at_once_all_end_well() {
    for _ in 0..5 {
        let test = TestDb::without_schema().await;
        let programs = (0..8).map(async |_| {
            let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
            // The session remembers that there was no table.
            let missing = BOTH.verify(&db).await;
            assert!(matches!(missing, Err(Error::DatabaseOlder { .. })));
            db
        });
        let programs = join_all(programs).await;
        let applied = programs.iter().map(async |db| {
            BOTH.apply(db).await?;
            BOTH.verify(db).await
        });
        for applied in join_all(applied).await {
            applied.unwrap();
        }
        assert_eq!(tables(&test).await, ["one", "shop_migrations", "two"]);
    }
}

#[tokio::test]
async fn without_a_schema_in_the_settings_a_set_has_one_of_its_own_name() {
    let test = TestDb::without_schema().await;
    let settings = Settings::builder(rig::url()).pool_max(1).build().unwrap();
    let db = Database::connect(&settings).await.unwrap();
    assert_eq!(db.schema(), None);

    let set: &str = test.schema().to_owned().leak();
    let migrations = Migrations::new(set, &[ONE]);
    assert_eq!(migrations.schema(&db), set);
    migrations.apply(&db).await.unwrap();
    migrations.verify(&db).await.unwrap();
    assert_eq!(tables(&test).await, ["one", &format!("{set}_migrations")]);
}

#[tokio::test]
async fn a_database_from_a_newer_program_is_refused() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    BOTH.apply(&db).await.unwrap();
    for error in [FIRST.apply(&db).await, FIRST.verify(&db).await] {
        expect![[r#"
            schema `SCHEMA` is at migration 2 of `shop`, this program knows 1: use a newer program
        "#]]
        .assert_eq(&chain(&error.unwrap_err()).replace(test.schema(), "SCHEMA"));
    }
}

#[tokio::test]
async fn a_migration_that_was_changed_after_it_was_applied_is_refused() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    FIRST.apply(&db).await.unwrap();
    const CHANGED: Migrations = Migrations::new(
        "shop",
        &[
            Migration {
                sql: "CREATE TABLE {schema}.one (id int)",
                ..ONE
            },
            TWO,
        ],
    );
    let error = CHANGED.apply(&db).await.unwrap_err();
    assert!(matches!(
        error,
        Error::MigrationChanged {
            number: 1,
            name: "one",
            ..
        }
    ));
    assert_eq!(tables(&test).await, ["one", "shop_migrations"]);
}

#[tokio::test]
async fn line_endings_do_not_make_a_difference() {
    const UNIX: Migrations = Migrations::new(
        "shop",
        &[Migration {
            sql: "SELECT 1;\nSELECT 2;\n",
            ..ONE
        }],
    );
    const DOS: Migrations = Migrations::new(
        "shop",
        &[Migration {
            sql: "SELECT 1;\r\nSELECT 2;\r\n",
            ..ONE
        }],
    );
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    UNIX.apply(&db).await.unwrap();
    DOS.verify(&db).await.unwrap();
}

#[tokio::test]
async fn an_account_with_a_gap_is_refused() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    BOTH.apply(&db).await.unwrap();
    account(&test, "DELETE FROM {account} WHERE number = 1").await;
    assert!(matches!(
        BOTH.verify(&db).await,
        Err(Error::MigrationGap { number: 1, .. })
    ));
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    const BROKEN: Migrations = Migrations::new(
        "shop",
        &[
            ONE,
            Migration {
                sql: "CREATE TABLE {schema}.one (id int)",
                ..TWO
            },
        ],
    );
    let test = TestDb::new().await;
    let db = test.connect(&[]).await;
    let error = BROKEN.apply(&db).await.unwrap_err();
    let text = chain(&error).replace(test.schema(), "SCHEMA");
    expect![[r#"
        migration 2 `two` of `shop` failed
        `CREATE TABLE "SCHEMA".one (id int)` failed
        db error
        ERROR: relation "one" already exists
    "#]]
    .assert_eq(&text);
    assert!(tables(&test).await.is_empty());
}

#[tokio::test]
async fn a_role_without_ddl_rights_can_verify_and_apply_what_is_applied() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    BOTH.apply(&db).await.unwrap();
    let schema = quote_identifier(test.schema());
    let role = format!("{}_reader", test.schema());
    account(
        &test,
        &format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}; \
             GRANT SELECT ON {{account}} TO {role}"
        ),
    )
    .await;
    let as_reader = Database::connect(
        &test.settings_for(&format!("{}?options=-c%20role%3D{role}", rig::url()), &[]),
    )
    .await
    .unwrap();
    BOTH.verify(&as_reader).await.unwrap();
    BOTH.apply(&as_reader).await.unwrap();
    account(&test, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_role_that_may_not_migrate_is_told_so_at_once() {
    let test = TestDb::new().await;
    let observer = test.observer().await;
    let role = format!("{}_guest", test.schema());
    let schema = quote_identifier(test.schema());
    let create = format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}");
    observer.batch_execute(&create).await.unwrap();
    let read_only = "default_transaction_read_only%3Don";
    for (option, cause) in [
        (format!("role%3D{role}"), "the role lacks a privilege"),
        (read_only.to_owned(), "the server is read-only"),
    ] {
        let url = format!("{}?options=-c%20{option}", rig::url());
        let db = Database::connect(&test.settings_for(&url, &[])).await;
        let error = BOTH.apply(&db.unwrap()).await.unwrap_err();
        assert!(!error.is_transient());
        let text = chain(&error);
        let (said, causes) = text.split_once('\n').unwrap();
        expect![
            "the role may not apply the migrations of `shop`: let another role apply `Migrations::sql`, and only verify them with this one"
        ]
        .assert_eq(said);
        assert!(causes.contains(cause), "{causes}");
    }
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    observer.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn the_printed_sql_does_what_apply_does() {
    let test = TestDb::without_schema().await;
    test.observer()
        .await
        .batch_execute(&BOTH.sql(test.schema()))
        .await
        .unwrap();
    let db = test.connect(&[]).await;
    BOTH.verify(&db).await.unwrap();
    BOTH.apply(&db).await.unwrap();
    assert_eq!(tables(&test).await, ["one", "shop_migrations", "two"]);
}

#[tokio::test]
async fn another_process_is_waited_for_as_long_as_is_chosen() {
    const IMPATIENT: Migrations = BOTH.lock_timeout(Duration::from_millis(1));
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let db = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let holder = test.observer().await;
        let sql = format!(
            "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('migrations of shop in {}', 0))",
            test.schema()
        );
        holder.batch_execute(&sql).await.unwrap();
        let error = IMPATIENT.apply(&db).await.unwrap_err();
        assert!(error.is_transient());
        expect![[r#"
            `db::lock_migrations` failed: another session has held a lock for too long
            db error
            ERROR: canceling statement due to lock timeout
        "#]]
        .assert_eq(&chain(&error));
        holder.batch_execute("COMMIT").await.unwrap();
        IMPATIENT.apply(&db).await.unwrap();
        BOTH.verify(&db).await.unwrap();
    }
}

#[tokio::test]
async fn a_migration_whose_backend_is_killed_half_way_leaves_nothing_behind() {
    const SLOW: Migrations = Migrations::new(
        "shop",
        &[
            ONE,
            Migration {
                sql: "CREATE TABLE {schema}.two (id bigint REFERENCES {schema}.one);
                      SELECT pg_sleep(60) WHERE to_regclass('{schema}.slow') IS NOT NULL;
                      CREATE INDEX two_id ON {schema}.two (id)",
                ..TWO
            },
        ],
    );
    for mode in ["session", "transaction"] {
        let test = TestDb::new().await;
        let db = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let observer = test.observer().await;
        let slow = format!("{}.slow", test.schema());
        let sql = format!("CREATE TABLE {slow} ()");
        observer.batch_execute(&sql).await.unwrap();
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = $1 AND wait_event = 'PgSleep'";
        let (applied, ()) = tokio::join!(
            SLOW.apply(&db),
            eventually("it was killed", async || {
                observer.execute(kill, &[&test.schema()]).await.unwrap() == 1
            })
        );
        let error = applied.unwrap_err();
        assert!(error.is_transient() && !error.is_outcome_unknown());
        let text = chain(&error);
        let (failed, cause) = text.split_once('\n').unwrap();
        assert_eq!(failed, "migration 2 `two` of `shop` failed");
        let killed = "FATAL: terminating connection due to administrator command\n";
        assert!(cause.ends_with(killed), "{cause}");
        assert_eq!(tables(&test).await, ["slow"]);

        observer
            .batch_execute(&format!("DROP TABLE {slow}"))
            .await
            .unwrap();
        SLOW.apply(&db).await.unwrap();
        SLOW.verify(&db).await.unwrap();
        assert_eq!(tables(&test).await, ["one", "shop_migrations", "two"]);
    }
}

#[tokio::test]
async fn a_migration_ends_if_a_table_stays_locked() {
    const ALTERED: Migrations = Migrations::new(
        "shop",
        &[
            ONE,
            Migration {
                sql: "-- shop::name\nALTER TABLE {schema}.one ADD COLUMN name text",
                ..TWO
            },
        ],
    );
    let test = TestDb::new().await;
    let db = test.connect(&[]).await;
    FIRST.apply(&db).await.unwrap();
    let holder = test.observer().await;
    let sql = format!(
        "BEGIN; LOCK TABLE {}.one IN ACCESS SHARE MODE",
        test.schema()
    );
    holder.batch_execute(&sql).await.unwrap();
    let error = ALTERED.apply(&db).await.unwrap_err();
    assert!(error.is_transient());
    let text = chain(&error).replace(test.schema(), "SCHEMA");
    expect![[r#"
        migration 2 `two` of `shop` failed
        `shop::name` failed: another session has held a lock for too long
        db error
        ERROR: canceling statement due to lock timeout
    "#]]
    .assert_eq(&text);
    FIRST.verify(&db).await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    ALTERED.apply(&db).await.unwrap();
}

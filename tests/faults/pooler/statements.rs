//! Where statements are prepared behind a pooler, and what becomes of them there.

use std::collections::BTreeSet;

use db::{Database, Error, GenericClient, Result, Statement, Type};
use futures_util::future::join_all;
use rig::{Figures, Release, eventually};

use super::{PATIENT, Pooled, client, leftovers};

/// The names under which the server knows the statements of this module, on one of its connections.
static NAMES: Statement = Statement::new(
    "-- tests::names
     SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_prepared_statements
     WHERE statement LIKE '-- tests::%'",
    &[],
);
static STALE: Statement = Statement::new("-- tests::stale\nSELECT * FROM stale", &[]);
static ONE: Statement = Statement::new("-- tests::one\nSELECT $1", &[Type::INT8]);

/// How many columns the table has: with one more, what was prepared before is stale.
async fn columns(client: &impl GenericClient) -> Result<usize> {
    Ok(client.query_one(&STALE, &[]).await?.len())
}

async fn names(client: &impl GenericClient) -> String {
    client.query_one(&NAMES, &[]).await.unwrap().get(0)
}

async fn one(client: &impl GenericClient, number: i64) -> Result<i64> {
    Ok(client.query_one(&ONE, &[&number]).await?.get(0))
}

/// A pool of one connection, through a pooler with one.
async fn single(release: Release) -> (Pooled, Database) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&single_variables()).await;
    (pooled, db)
}

fn single_variables() -> Vec<(&'static str, &'static str)> {
    let one = [("DB_POOL_MAX", "1")];
    PATIENT.iter().chain(&one).copied().collect()
}

async fn change_table(pooled: &Pooled, sql: &str) {
    pooled.observer().await.batch_execute(sql).await.unwrap();
}

mod old {
    use super::*;

    #[tokio::test]
    async fn nothing_is_prepared_nor_left_by_the_probe() {
        let pooled = Pooled::start(Release::Old, 4).await;
        let databases = (0..32).map(|_| pooled.connect(&PATIENT));
        let databases = join_all(databases).await;
        for db in &databases {
            assert_eq!(one(&db.get().await.unwrap(), 1).await.unwrap(), 1);
        }
        assert_eq!(leftovers(&pooled, 4).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_name_that_another_client_has_left_does_no_harm() {
        let (pooled, db) = single(Release::Old).await;
        // Some of them are the next names of the driver.
        let names = (0..300).map(|number| format!("PREPARE s{number} AS SELECT 1;"));
        let connection = db.get().await.unwrap();
        connection
            .batch_execute(&names.collect::<String>())
            .await
            .unwrap();
        drop(connection);
        let other = pooled.connect(&single_variables()).await;
        assert_eq!(one(&other.get().await.unwrap(), 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn the_connections_without_prepared_statements_are_counted() {
        let figures = Figures::default();
        let _recording = figures.record();
        let (_pooled, db) = single(Release::Old).await;
        assert_eq!(figures.gauge("db_pool_unprepared_connections", &[]), 1.0);
        drop(db);
    }
}

mod new {
    use super::*;

    #[tokio::test]
    async fn statements_are_prepared_under_the_names_of_the_pooler() {
        let figures = Figures::default();
        let _recording = figures.record();
        let (_pooled, db) = single(Release::New).await;
        let connection = db.get().await.unwrap();
        let names = names(&connection).await;
        assert!(names.starts_with("PGBOUNCER_"), "{names}");
        assert_eq!(figures.gauge("db_pool_unprepared_connections", &[]), 0.0);
    }

    #[tokio::test]
    async fn a_pooler_that_is_told_to_manage_no_names_is_noticed() {
        let none = [("max_prepared_statements", "0")];
        let pooled = Pooled::with(Release::New, 1, &none).await;
        let db = pooled.connect(&PATIENT).await;
        assert_eq!(names(&db.get().await.unwrap()).await, "");
    }

    #[tokio::test]
    async fn a_stale_statement_is_sent_unprepared_by_every_connection() {
        let (pooled, db) = single(Release::New).await;
        change_table(
            &pooled,
            "CREATE TABLE stale (a int); INSERT INTO stale VALUES (1)",
        )
        .await;
        let other = pooled.connect(&PATIENT).await;
        for db in [&db, &other] {
            assert_eq!(columns(&db.get().await.unwrap()).await.unwrap(), 1);
        }
        change_table(&pooled, "ALTER TABLE stale ADD b int").await;
        // The second one has the statement prepared, too, and a third one prepares it in vain.
        let third = pooled.connect(&PATIENT).await;
        for db in [&db, &other, &third] {
            for _ in 0..3 {
                assert_eq!(columns(&db.get().await.unwrap()).await.unwrap(), 2);
            }
            // The others are still prepared.
            assert!(names(&db.get().await.unwrap()).await.contains("PGBOUNCER_"));
        }
    }

    #[tokio::test]
    async fn a_stale_statement_fails_one_transaction_and_not_the_next() {
        let (pooled, db) = single(Release::New).await;
        change_table(
            &pooled,
            "CREATE TABLE stale (a int); INSERT INTO stale VALUES (1)",
        )
        .await;
        assert_eq!(columns(&db.get().await.unwrap()).await.unwrap(), 1);
        change_table(&pooled, "ALTER TABLE stale ADD b int").await;
        let error = db.transaction(async |tx| columns(tx).await).await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Query { .. }), "{error:?}");
        for _ in 0..3 {
            let found = db.transaction(async |tx| columns(tx).await).await;
            assert_eq!(found.unwrap(), 2);
        }
    }

    #[tokio::test]
    async fn what_deallocates_all_statements_costs_no_call() {
        let (_pooled, db) = single(Release::New).await;
        for sql in ["DEALLOCATE ALL", "DISCARD ALL"] {
            let connection = db.get().await.unwrap();
            assert_eq!(one(&connection, 1).await.unwrap(), 1);
            connection.batch_execute(sql).await.unwrap();
            assert_eq!(one(&connection, 2).await.unwrap(), 2);
            drop(connection);
            let connection = db.get().await.unwrap();
            assert_eq!(one(&connection, 3).await.unwrap(), 3);
            assert!(names(&connection).await.contains("PGBOUNCER_"));
        }
    }

    #[tokio::test]
    async fn a_statement_that_the_server_has_forgotten_is_sent_unprepared() {
        let (pooled, db) = single(Release::New).await;
        assert_eq!(one(&db.get().await.unwrap(), 1).await.unwrap(), 1);
        // The pooler doesn't see it, and takes the statements for prepared.
        let other = client(&pooled.pooler.url()).await.unwrap();
        let hidden = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$";
        other.batch_execute(hidden).await.unwrap();
        for number in 2..5 {
            assert_eq!(one(&db.get().await.unwrap(), number).await.unwrap(), number);
        }
        other.batch_execute(hidden).await.unwrap();
        let names = db.get().await.unwrap().query_one(&NAMES, &[]).await;
        names.unwrap();
    }

    #[tokio::test]
    async fn a_statement_that_the_server_has_forgotten_ends_a_transaction_without_effect() {
        let (pooled, db) = single(Release::New).await;
        assert_eq!(one(&db.get().await.unwrap(), 1).await.unwrap(), 1);
        let other = client(&pooled.pooler.url()).await.unwrap();
        let hidden = "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$";
        other.batch_execute(hidden).await.unwrap();
        let error = db
            .transaction(async |tx| one(tx, 2).await)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
        let again = db.transaction(async |tx| one(tx, 2).await).await;
        assert_eq!(again.unwrap(), 2);
    }

    #[tokio::test]
    async fn more_statements_than_the_pooler_keeps_are_all_answered_right() {
        let few = [("max_prepared_statements", "5")];
        let pooled = Pooled::with(Release::New, 2, &few).await;
        let variables: Vec<_> = PATIENT
            .iter()
            .chain(&[("DB_POOL_MAX", "6")])
            .copied()
            .collect();
        let db = pooled.connect(&variables).await;
        let statements: Vec<_> = (0..300)
            .map(|n| format!("-- tests::many\nSELECT $1 + {n}"))
            .map(|sql| Statement::from_parts(sql, vec![Type::INT8]))
            .collect();
        let agents = (0..6).map(async |agent: i64| {
            for (n, statement) in (0..).zip(&statements) {
                let connection = db.get().await.unwrap();
                for _ in 0..2 {
                    let row = connection.query_one(statement, &[&agent]).await.unwrap();
                    assert_eq!(row.get::<_, i64>(0), agent + n);
                }
            }
        });
        join_all(agents).await;
        let connection = db.get().await.unwrap();
        let kept = names(&connection).await;
        assert!(kept.split(',').count() <= 5, "{kept}");
    }

    #[tokio::test]
    async fn a_pooler_that_is_replaced_by_an_older_one_is_noticed() {
        let pooled = Pooled::start(Release::New, 2).await;
        let variables: Vec<_> = PATIENT
            .iter()
            .chain(&[("DB_POOL_MAX", "4")])
            .copied()
            .collect();
        let db = pooled.connect(&variables).await;
        let work = async || {
            let calls = (0..16).map(async |number| {
                let connection = db.get().await?;
                one(&connection, number).await
            });
            let answers = join_all(calls).await;
            let answers: BTreeSet<_> = answers.into_iter().map(Result::unwrap).collect();
            assert!(answers.into_iter().eq(0..16));
        };
        work().await;
        assert!(names(&db.get().await.unwrap()).await.contains("PGBOUNCER_"));
        pooled
            .pooler
            .replace(Release::Old, pooled.server.port())
            .await
            .unwrap();
        eventually("the lost connections are noticed", async || {
            db.ping().await.is_ok()
        })
        .await;
        work().await;
        assert_eq!(names(&db.get().await.unwrap()).await, "");
        pooled
            .pooler
            .replace(Release::New, pooled.server.port())
            .await
            .unwrap();
        eventually("the lost connections are noticed", async || {
            db.ping().await.is_ok()
        })
        .await;
        work().await;
        assert!(names(&db.get().await.unwrap()).await.contains("PGBOUNCER_"));
    }

    #[tokio::test]
    async fn a_pooler_that_is_told_to_stop_managing_names_costs_no_call() {
        let (pooled, db) = single(Release::New).await;
        assert_eq!(one(&db.get().await.unwrap(), 1).await.unwrap(), 1);
        let told = pooled.pooler.command("SET max_prepared_statements = 0");
        told.await.unwrap();
        for number in 2..5 {
            assert_eq!(one(&db.get().await.unwrap(), number).await.unwrap(), number);
        }
    }
}

//! What people see in SQL, and who may.

use std::time::Duration;

use checkpointer::{
    CheckpointAddress, CheckpointNs, Checkpointer, DeleteThread, GetChannelHistory, GetTuple,
    Metadata, PostgresCheckpointer, Projection, Prune, PruneStrategy, Put, Removed, Source,
};
use db::Database;
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::step::{Step, checkpointer, get, ids, large, thread, try_write, values};
use rig::{TestDb, chain, url};

/// How long a connection may take to come back.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls `state` with some arguments, written in SQL.
async fn state(client: &Client, test: &TestDb, arguments: &str) -> Option<Value> {
    let sql = format!("SELECT {}.state({arguments})::text", test.schema());
    let row = client.query_one(&sql, &[]).await.unwrap();
    let state: Option<String> = row.get(0);
    state.map(|state| serde_json::from_str(&state).unwrap())
}

/// Values that are stored as they are, small and large.
fn plain() -> Value {
    json!({
        "messages": large(1),
        "text": "x".repeat(10_000),
        "object": { "a": large(2), "b": [], "c": {} },
        "null": null,
        "small": [1, "two", 3.5, true],
        "": "no name",
    })
}

#[tokio::test]
async fn state_is_what_was_put() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("support-4711")).values(plain());
    let first = first.put(&checkpointer).await;
    let second = Step::after(&first).values(json!({ "messages": large(3) }));
    let second = second.put(&checkpointer).await;
    let ns = CheckpointNs::new("sub:'1'").unwrap();
    let child = Step::first(&thread("support-4711")).values(json!({ "a": large(4) }));
    let metadata = Metadata::new(Source::Loop, 7);
    let put = Put::new(&second.thread_id, &child.checkpoint, &metadata).in_ns(&ns);
    let child = checkpointer.put(put).await.unwrap();

    let client = test.observer().await;
    let stored = async |address: &CheckpointAddress| values(&get(&checkpointer, address).await);
    let head = state(&client, &test, "'support-4711'").await;
    assert_eq!(head, Some(stored(&second).await));
    let earlier = format!("'support-4711', checkpoint_id => '{}'", first.checkpoint_id);
    let earlier = state(&client, &test, &earlier).await;
    assert_eq!(earlier, Some(stored(&first).await));
    assert_eq!(earlier, Some(plain()));
    let in_ns = state(&client, &test, "'support-4711', 'sub:''1'''").await;
    assert_eq!(in_ns, Some(stored(&child).await));
    let all = format!(
        "'support-4711', checkpoint_ns => 'sub:''1''', checkpoint_id => '{}'",
        child.checkpoint_id
    );
    assert_eq!(state(&client, &test, &all).await, in_ns);

    for missing in [
        "'support-4712'",
        "'support-4711', 'other'",
        "'support-4711', '', 'none'",
        "NULL",
    ] {
        assert_eq!(state(&client, &test, missing).await, None, "{missing}");
    }
    let delete = DeleteThread::new(&second.thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
    assert_eq!(state(&client, &test, "'support-4711'").await, None);
}

#[tokio::test]
async fn an_empty_checkpoint_is_an_empty_document() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    Step::first(&thread("empty")).put(&checkpointer).await;
    let client = test.observer().await;
    assert_eq!(state(&client, &test, "'empty'").await, Some(json!({})));
}

#[tokio::test]
async fn state_of_a_typed_thread_is_its_struct() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Support {
        messages: Vec<String>,
        escalated: bool,
    }
    let mut thread = checkpointer.thread::<Support>("support-4711").unwrap();
    let support = Support {
        messages: (0..200).map(|n| format!("Where is order {n}?")).collect(),
        escalated: true,
    };
    thread.save(&support).await.unwrap();
    let client = test.observer().await;
    let state = state(&client, &test, "'support-4711'").await;
    assert_eq!(state, Some(serde_json::to_value(&support).unwrap()));
}

#[tokio::test]
async fn a_missing_chunk_is_an_error_not_a_null() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let step = Step::first(&thread("torn")).values(plain());
    step.put(&checkpointer).await;
    let client = test.observer().await;
    let schema = test.schema();
    let chunks = format!("SELECT hash FROM {schema}.chunks");
    // Each of them, wherever it stands.
    for row in client.query(&chunks, &[]).await.unwrap() {
        let hash: Vec<u8> = row.get(0);
        client.batch_execute("BEGIN").await.unwrap();
        let delete = format!("DELETE FROM {schema}.chunks WHERE hash = $1");
        client.execute(&delete, &[&hash]).await.unwrap();
        let sql = format!("SELECT {schema}.state('torn')");
        let error = client.query(&sql, &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

/// The statements of the documents, for a schema.
fn documented(schema: &str) -> Vec<String> {
    let pages = [
        include_str!("../../../docs/sql.md"),
        include_str!("../../../docs/retention.md"),
    ];
    let blocks = pages.iter().flat_map(|page| page.split("```sql\n").skip(1));
    let statements = blocks.map(|block| block.split("```").next().unwrap());
    let schema = format!("{schema}.");
    statements
        .map(|statement| statement.replace("checkpointer.", &schema))
        .collect()
}

#[tokio::test]
async fn the_statements_of_the_documents_are_understood() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("support-4711")).values(json!({ "escalated": true }));
    first.put(&checkpointer).await;
    let client = test.observer().await;
    let statements = documented(test.schema());
    assert!(statements.len() > 5);
    for statement in statements {
        client.query(&statement, &[]).await.expect(&statement);
    }
}

#[tokio::test]
async fn the_hour_of_the_last_change_finds_threads_that_changed_lately() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    for name in ["rests", "changes", "changed"] {
        Step::first(&thread(name)).put(&checkpointer).await;
    }
    let client = test.observer().await;
    let aged = "UPDATE {schema}.heads SET updated_at = now() - interval '4 hours'
        WHERE thread_id = 'rests'";
    let aged = aged.replace("{schema}", test.schema());
    client.batch_execute(&aged).await.unwrap();
    let statements = documented(test.schema());
    let statement = statements.iter().find(|text| text.contains("changed >="));
    let rows = client.query(statement.unwrap(), &[]).await.unwrap();
    let found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, ["changed", "changes"]);
}

#[tokio::test]
async fn thread_size_in_sql_is_what_the_program_measures() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let client = test.observer().await;
    let thread_id = thread("measured");
    let sql = format!("SELECT * FROM {}.thread_size('measured')", test.schema());
    let first = Step::first(&thread_id).values(json!({ "large": large(1), "n": 1 }));
    let first = first.put(&checkpointer).await;
    let next = Step::after(&first).values(json!({ "large": large(2), "n": 2 }));
    let next = next.put(&checkpointer).await;
    try_write(&checkpointer, &next, "task", &large(3))
        .await
        .unwrap();

    let row = client.query_one(&sql, &[]).await.unwrap();
    let size = checkpointer.thread_size(&thread_id).await.unwrap().unwrap();
    let counts = [
        ("bytes", size.bytes),
        ("checkpoints", size.checkpoints),
        ("pending_writes", size.pending_writes),
        ("chunks", size.chunks),
    ];
    for (column, expected) in counts {
        assert_eq!(row.get::<_, i64>(column), expected as i64, "{column}");
        assert!(expected > 0, "{column}");
    }

    let delete = DeleteThread::new(&thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
    assert!(client.query(&sql, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn thread_overview_lists_threads_with_their_heads() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("a")).metadata("step", 1);
    let first = first.put(&checkpointer).await;
    let second = Step::after(&first).metadata("step", 2);
    let second = second.put(&checkpointer).await;
    let only = Step::first(&thread("b")).metadata("step", -1);
    let only = only.put(&checkpointer).await;
    let metadata = super::step::map(json!({ "customer": 4711 }));
    let set = checkpointer.set_thread_metadata(&only.thread_id, metadata);
    set.await.unwrap();
    // Neither of these has a head.
    let early = Step::first(&thread("early")).address();
    let written = try_write(&checkpointer, &early, "task", &json!(1)).await;
    written.unwrap();
    let gone = Step::first(&thread("gone")).put(&checkpointer).await;
    let delete = DeleteThread::new(&gone.thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();

    let client = test.observer().await;
    let sql = format!(
        "SELECT thread_id, checkpoint_ns, head, step::text, checkpoints,
            last_change BETWEEN created_at AND now(), metadata ->> 'customer'
        FROM {}.thread_overview ORDER BY last_change DESC",
        test.schema()
    );
    let listed: Vec<_> = client.query(&sql, &[]).await.unwrap();
    let listed = listed.iter().map(|row| {
        let (thread_id, ns): (String, String) = (row.get(0), row.get(1));
        let (head, step): (String, String) = (row.get(2), row.get(3));
        let (checkpoints, in_order): (i64, bool) = (row.get(4), row.get(5));
        let customer: Option<String> = row.get(6);
        assert!(ns.is_empty() && in_order);
        (thread_id, head, step, checkpoints, customer)
    });
    let expected =
        |address: &CheckpointAddress, step: &str, checkpoints, customer: Option<&str>| {
            let head = address.checkpoint_id.to_string();
            let thread_id = address.thread_id.to_string();
            (
                thread_id,
                head,
                step.to_owned(),
                checkpoints,
                customer.map(str::to_owned),
            )
        };
    assert_eq!(
        listed.collect::<Vec<_>>(),
        [
            expected(&only, "-1", 1, Some("4711")),
            expected(&second, "2", 2, None),
        ]
    );
}

/// Functions and operators that take the place of PostgreSQL's own where the path names them first,
/// or where their parameters fit better. Each fails when it is called.
const HOSTILE: &str = "
    CREATE SCHEMA {hostile};
    CREATE FUNCTION {hostile}.seized() RETURNS int LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'seized'; END $$;
    CREATE FUNCTION {hostile}.jsonb_each(jsonb, OUT key text, OUT value jsonb)
        RETURNS SETOF record LANGUAGE sql AS $$ SELECT {hostile}.seized()::text, 'null'::jsonb $$;
    CREATE FUNCTION {hostile}.jsonb_typeof(jsonb) RETURNS text LANGUAGE sql
        AS $$ SELECT {hostile}.seized()::text $$;
    CREATE FUNCTION {hostile}.decode(text, text) RETURNS bytea LANGUAGE sql
        AS $$ SELECT ''::bytea FROM (SELECT {hostile}.seized()) AS s $$;
    CREATE FUNCTION {hostile}.now() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT 'epoch'::timestamptz FROM (SELECT {hostile}.seized()) AS s $$;
    CREATE FUNCTION {hostile}.cardinality(bytea[]) RETURNS int LANGUAGE sql
        AS $$ SELECT {hostile}.seized() $$;
    CREATE FUNCTION {hostile}.unnest(text[]) RETURNS SETOF text LANGUAGE sql
        AS $$ SELECT {hostile}.seized()::text $$;
    CREATE FUNCTION {hostile}.jsonb_array_elements(jsonb) RETURNS SETOF jsonb LANGUAGE sql
        AS $$ SELECT to_jsonb({hostile}.seized()) $$;
    CREATE FUNCTION {hostile}.object_state(jsonb, text, jsonb) RETURNS jsonb LANGUAGE sql
        AS $$ SELECT to_jsonb({hostile}.seized()) $$;
    CREATE AGGREGATE {hostile}.jsonb_object_agg(text, jsonb) (
        SFUNC = {hostile}.object_state, STYPE = jsonb, INITCOND = 'null');
    CREATE FUNCTION {hostile}.field(jsonb, int) RETURNS jsonb LANGUAGE sql
        AS $$ SELECT to_jsonb({hostile}.seized()) $$;
    CREATE FUNCTION {hostile}.field(jsonb, text) RETURNS jsonb LANGUAGE sql
        AS $$ SELECT to_jsonb({hostile}.seized()) $$;
    CREATE FUNCTION {hostile}.field_text(jsonb, text) RETURNS text LANGUAGE sql
        AS $$ SELECT {hostile}.seized()::text $$;
    CREATE FUNCTION {hostile}.joined(jsonb, jsonb) RETURNS jsonb LANGUAGE sql
        AS $$ SELECT to_jsonb({hostile}.seized()) $$;
    CREATE FUNCTION {hostile}.same(text, text) RETURNS bool LANGUAGE sql
        AS $$ SELECT {hostile}.seized() IS NULL $$;
    CREATE FUNCTION {hostile}.same(bytea, bytea) RETURNS bool LANGUAGE sql
        AS $$ SELECT {hostile}.seized() IS NULL $$;
    CREATE OPERATOR {hostile}.-> (FUNCTION = {hostile}.field, LEFTARG = jsonb, RIGHTARG = int);
    CREATE OPERATOR {hostile}.-> (FUNCTION = {hostile}.field, LEFTARG = jsonb, RIGHTARG = text);
    CREATE OPERATOR {hostile}.->> (FUNCTION = {hostile}.field_text, LEFTARG = jsonb, RIGHTARG = text);
    CREATE OPERATOR {hostile}.|| (FUNCTION = {hostile}.joined, LEFTARG = jsonb, RIGHTARG = jsonb);
    CREATE OPERATOR {hostile}.= (FUNCTION = {hostile}.same, LEFTARG = text, RIGHTARG = text);
    CREATE OPERATOR {hostile}.= (FUNCTION = {hostile}.same, LEFTARG = bytea, RIGHTARG = bytea);
    CREATE TABLE {hostile}.threads (thread_id text);
    CREATE TABLE {hostile}.checkpoints (thread_id text);
";

/// Makes the hostile schema, and returns its name.
async fn hostile(test: &TestDb) -> String {
    let hostile = format!("{}_hostile", test.schema());
    let sql = HOSTILE.replace("{hostile}", &hostile);
    test.observer().await.batch_execute(&sql).await.unwrap();
    hostile
}

#[tokio::test]
async fn a_hostile_search_path_changes_nothing_for_people() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("support-4711")).values(plain());
    let address = first.put(&checkpointer).await;

    let hostile = hostile(&test).await;
    let client = test.observer().await;
    let set = format!("SET search_path = {hostile}, pg_catalog");
    client.batch_execute(&set).await.unwrap();
    let error = client.query("SELECT jsonb_typeof('{}')", &[]).await;
    assert!(error.is_err(), "the path isn't hostile");

    let by_id = format!("'support-4711', '', '{}'", address.checkpoint_id);
    for arguments in ["'support-4711'", &by_id] {
        assert_eq!(state(&client, &test, arguments).await, Some(plain()));
    }
    let sql = format!("SELECT head FROM {}.thread_overview", test.schema());
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), address.checkpoint_id.as_str());
}

#[tokio::test]
async fn functions_that_would_fit_better_are_not_called() {
    let test = TestDb::without_schema().await;
    let hostile = hostile(&test).await;
    let separator = if url().contains('?') { '&' } else { '?' };
    // As `public` is: searched after PostgreSQL's own, which is enough for a better fit.
    let url = format!("{}{separator}options=-csearch_path%3D{hostile}", url());
    let database = Database::connect(&test.settings_for(&url, &[]))
        .await
        .unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let thread_id = thread("support-4711");
    let first = Step::first(&thread_id).values(json!({ "a": large(1), "b": 1 }));
    let first = first.put(&checkpointer).await;
    try_write(&checkpointer, &first, "task", &large(2))
        .await
        .unwrap();
    let second = Step::after(&first).values(json!({ "a": large(1), "b": 2 }));
    let second = second.put(&checkpointer).await;
    assert_eq!(get(&checkpointer, &first).await.pending_writes.len(), 1);
    let some = Projection::Channels(vec!["b".to_owned()]);
    let some = checkpointer.get_tuple(GetTuple::at(&second).project(some));
    let some = some.await.unwrap().unwrap();
    assert_eq!(some.checkpoint.channel_values["b"], 2);
    let history = GetChannelHistory::new(GetTuple::at(&second), vec!["b".to_owned()]).unwrap();
    let history = checkpointer.channel_history(history).await.unwrap();
    assert_eq!(history["b"].seed.as_deref(), Some(&json!(1)));
    let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    assert_eq!(ids(&checkpointer, &thread_id).await.len(), 1);
}

#[tokio::test]
async fn tables_made_under_a_hostile_search_path_are_as_good() {
    let test = TestDb::without_schema().await;
    let hostile = hostile(&test).await;
    let separator = if url().contains('?') { '&' } else { '?' };
    let path = format!("-csearch_path%3D{hostile},pg_catalog");
    let url = format!("{}{separator}options={path}", url());
    let client = test.observer().await;
    let database = Database::connect(&test.settings_for(&url, &[]))
        .await
        .unwrap();
    PostgresCheckpointer::setup(database).await.unwrap();

    let good = checkpointer(&test, &[]).await;
    let step = Step::first(&thread("support-4711")).values(plain());
    step.put(&good).await;
    assert_eq!(state(&client, &test, "'support-4711'").await, Some(plain()));
}

/// Makes a role that may log in and no more, and returns its URL.
async fn role(test: &TestDb) -> String {
    let role = format!("{}_role", test.schema());
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'");
    test.observer().await.batch_execute(&create).await.unwrap();
    let url = url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, rest) = rest.split_once('@').unwrap();
    format!("{scheme}://{role}:secret@{rest}")
}

async fn drop_role(test: &TestDb) {
    let role = format!("{}_role", test.schema());
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    test.observer().await.batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn a_role_without_ddl_rights_does_all_but_make_tables() {
    let test = TestDb::without_schema().await;
    let schema = test.schema();
    let url = role(&test).await;
    let own = checkpointer(&test, &[]).await;
    let grant = format!(
        "GRANT USAGE ON SCHEMA {schema} TO {schema}_role;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {schema}_role"
    );
    test.observer().await.batch_execute(&grant).await.unwrap();

    let database = Database::connect(&test.settings_for(&url, &[]))
        .await
        .unwrap();
    let opened = PostgresCheckpointer::open(database.clone()).await.unwrap();
    // Nothing is left to make.
    PostgresCheckpointer::setup(database.clone()).await.unwrap();

    let thread_id = thread("a");
    let first = Step::first(&thread_id).values(plain()).put(&opened).await;
    let second = Step::after(&first).values(plain()).put(&opened).await;
    let written = try_write(&opened, &second, "task", &large(5)).await;
    written.unwrap();
    assert_eq!(get(&opened, &second).await, get(&own, &second).await);
    let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    opened
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    opened
        .delete_for_runs(&["run".to_owned()])
        .await
        .and_then(Removed::complete)
        .unwrap();
    opened.copy_thread(&thread_id, &thread("b")).await.unwrap();
    let metadata = Default::default();
    let set = opened.set_thread_metadata(&thread_id, metadata).await;
    set.unwrap();
    opened
        .delete_thread(DeleteThread::new(&thread_id).unwrap())
        .await
        .unwrap();
    let copy = opened
        .get_tuple(GetTuple::head(thread("b")).unwrap())
        .await
        .unwrap();
    assert_eq!(values(&copy.unwrap()), plain());

    let address: Config = url.parse().unwrap();
    let (client, driver) = address.connect(NoTls).await.unwrap();
    tokio::spawn(driver);
    assert_eq!(state(&client, &test, "'b'").await, Some(plain()));
    database.close(PATIENCE).await.unwrap();
    drop(client);
    drop_role(&test).await;
}

/// Opens, and checks what is said to be missing.
async fn check_not_opened(test: &TestDb, url: &str, expected: Expect) {
    let settings = test.settings_for(url, &[]);
    let database = Database::connect(&settings).await.unwrap();
    let error = PostgresCheckpointer::open(database.clone()).await;
    let error = chain(&error.unwrap_err());
    expected.assert_eq(&error.replace(test.schema(), "SCHEMA"));
    database.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn values_are_compressed_with_lz4_where_the_server_has_it() {
    let test = TestDb::without_schema().await;
    checkpointer(&test, &[]).await;
    let observer = test.observer().await;
    let sql = "SELECT
        (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'),
        (SELECT count(*) FROM pg_attribute
         WHERE attrelid = ANY ($1::text[]::regclass[]) AND attcompression = 'l')";
    let tables = ["threads", "checkpoints", "chunks", "pending_writes"];
    let tables = tables.map(|table| format!("{}.{table}", test.schema()));
    let row = observer.query_one(sql, &[&&tables[..]]).await.unwrap();
    let columns = if row.get(0) { 6_i64 } else { 0 };
    assert_eq!(row.get::<_, i64>(1), columns);
}

#[tokio::test]
async fn open_says_what_is_missing() {
    let test = TestDb::without_schema().await;
    let role = role(&test).await;
    let expected = expect![[r#"
        failed to verify the tables
        schema `SCHEMA` has no tables of `checkpointer`: apply the migrations (`setup` or `apply`), unless its name is wrong
    "#]];
    check_not_opened(&test, &url(), expected).await;
    let expected = expect![[r#"
        failed to verify the tables
        schema `SCHEMA` has no tables of `checkpointer`: apply the migrations (`setup` or `apply`), unless its name is wrong
    "#]];
    check_not_opened(&test, &role, expected).await;

    checkpointer(&test, &[]).await;
    let expected = expect![[r#"
        failed to verify the tables
        `db::read_migrations` failed: the role lacks a privilege
        db error
        ERROR: permission denied for schema SCHEMA
    "#]];
    check_not_opened(&test, &role, expected).await;

    let observer = test.observer().await;
    let sql = format!(
        "INSERT INTO {}.checkpointer_migrations (number, name, checksum) VALUES (1000, 'later', '')",
        test.schema()
    );
    observer.execute(&sql, &[]).await.unwrap();
    let expected = expect![[r#"
        failed to verify the tables
        schema `SCHEMA` is at migration 1000 of `checkpointer`, this program knows 10: use a newer program
    "#]];
    check_not_opened(&test, &url(), expected).await;
    drop_role(&test).await;
}

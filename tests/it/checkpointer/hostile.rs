//! Names and content that look like SQL: they are data, and stay in their row.

use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer, DeleteThread, GetChannelHistory,
    GetTuple, List, ListThreads, Metadata, PostgresCheckpointer, Projection, Prune, PruneStrategy,
    Put, PutWrites, Removed, Source, TaskId,
};
use db::{Database, quote_identifier};
use futures_util::TryStreamExt;
use rig::TestDb;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::step::{Step, get, large, map, thread, try_write, values};

/// What ends a literal, an identifier, a comment or a statement, or is filled in somewhere.
const NAMES: &[&str] = &[
    "'; DELETE FROM checkpoints; --",
    "\" OR \"\" = \"",
    "' OR '1' = '1",
    "'||(SELECT version())||'",
    "\\'; SELECT pg_sleep(9); --",
    "$1",
    "$$; DROP SCHEMA public; $$",
    "{schema}.{thread_id}{commit}",
    "%s%n%",
    "_",
    "/* ",
    "*/ --",
    "\r\n; COMMIT; --",
    "\u{202e}💣\u{1}'",
    "{\"a\": [1]}",
    "NULL",
];

/// Every row of the threads beside those with hostile names, as text.
async fn neighbours(client: &Client, schema: &str) -> Vec<String> {
    let schema = quote_identifier(schema);
    let mut rows = Vec::new();
    for table in [
        "threads",
        "heads",
        "checkpoints",
        "chunks",
        "pending_writes",
    ] {
        let sql = format!(
            "SELECT to_jsonb(t)::text FROM {schema}.{table} AS t
             WHERE thread_id LIKE 'neighbour-%' ORDER BY 1"
        );
        let found = client.query(&sql, &[]).await.unwrap();
        rows.extend(found.iter().map(|row| row.get::<_, String>(0)));
    }
    rows
}

/// Does everything there is to do with a thread, with `name` wherever there is a name.
async fn live(checkpointer: &dyn Checkpointer, name: &str) {
    let thread_id = thread(name);
    let id = CheckpointId::new(name).unwrap();
    let task_id = TaskId::new(name).unwrap();
    let ns = CheckpointNs::new(name).unwrap();
    let hostile = json!({ name: name, "large": [large(1), name, { name: [name] }] });
    let mut step = Step::first(&thread_id).id(name).values(hostile.clone());
    step.metadata = Metadata::new(Source::Loop, 0)
        .with(name, json!({ name: name }))
        .with("run_id", name);
    let address = step.put(checkpointer).await;

    let in_ns = Put::new(&thread_id, &step.checkpoint, &step.metadata).in_ns(&ns);
    checkpointer.put(in_ns).await.unwrap();
    let writes = [
        (name.to_owned(), json!({ name: name })),
        ("__interrupt__".to_owned(), Value::from(name)),
    ];
    let put = PutWrites::new(&address, &task_id, &writes).task_path(name);
    checkpointer.put_writes(put.clone()).await.unwrap();
    checkpointer.put_writes(put).await.unwrap();
    let metadata = map(json!({ name: { "is": name } }));
    let replaced = checkpointer.set_thread_metadata(&thread_id, metadata.clone());
    replaced.await.unwrap();

    let got = get(checkpointer, &address).await;
    assert_eq!(values(&got), hostile, "{name:?}");
    assert_eq!(got.metadata, step.metadata, "{name:?}");
    let writes: Vec<_> = got.pending_writes.iter().collect();
    assert_eq!(writes.len(), 2, "{name:?}");
    for write in writes {
        assert_eq!(write.task_id, task_id);
        assert!(write.channel == name || write.channel == "__interrupt__");
    }
    let projected = GetTuple::at(&address).project(Projection::Channels(vec![name.to_owned()]));
    let projected = checkpointer.get_tuple(projected).await.unwrap().unwrap();
    assert_eq!(values(&projected), json!({ name: name }));

    let listed = List::thread(&thread_id)
        .unwrap()
        .in_ns(ns)
        .checkpoint_id(id.clone())
        .filter(map(json!({ name: { name: name } })));
    let listed: Vec<_> = checkpointer.list(listed).try_collect().await.unwrap();
    assert_eq!(listed.len(), 1, "{name:?}");
    let threads = ListThreads::all().filter(metadata);
    let threads: Vec<_> = checkpointer.threads(threads).try_collect().await.unwrap();
    assert_eq!(threads.len(), 1, "{name:?}");
    assert_eq!(threads[0].thread_id, thread_id);

    let child = Step::after(&address)
        .values(json!({ name: [] }))
        .put(checkpointer)
        .await;
    let history = GetChannelHistory::new(GetTuple::at(&child), vec![name.to_owned()]).unwrap();
    let history = checkpointer.channel_history(history).await.unwrap();
    let seed = history[name].seed.as_deref();
    assert_eq!(seed, Some(&Value::from(name)), "{name:?}");
    let copy = thread(&format!("{name} copy"));
    checkpointer.copy_thread(&thread_id, &copy).await.unwrap();
    for strategy in [PruneStrategy::KeepLatest, PruneStrategy::Delete] {
        let prune = Prune::new(vec![copy.clone()], strategy).unwrap();
        checkpointer
            .prune(prune)
            .await
            .and_then(Removed::complete)
            .unwrap();
    }
    checkpointer
        .delete_for_runs(&[name.to_owned()])
        .await
        .and_then(Removed::complete)
        .unwrap();
    let gone = CheckpointAddress::new(thread_id.clone(), id).unwrap();
    let gone = checkpointer.get_tuple(GetTuple::at(&gone)).await.unwrap();
    assert_eq!(gone.map(|tuple| tuple.address), None, "{name:?}");
    checkpointer
        .delete_thread(DeleteThread::new(thread_id).unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn names_and_content_full_of_sql_change_nothing_outside_their_rows() {
    let test = TestDb::without_schema().await;
    let schema = format!("{} '\"$1 {{schema}}; --", test.schema());
    let settings = test.settings(&[("DB_SCHEMA", &schema)]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    for n in 0..3 {
        let neighbour = thread(&format!("neighbour-{n}"));
        let first = Step::first(&neighbour)
            .metadata("run_id", "run")
            .values(json!({ "n": n }));
        let first = first.put(&checkpointer).await;
        let second = Step::after(&first).values(json!({ "large": large(n) }));
        let second = second.put(&checkpointer).await;
        try_write(&checkpointer, &second, "task", &large(n))
            .await
            .unwrap();
    }
    let client = test.observer().await;
    let before = neighbours(&client, &schema).await;

    for name in NAMES {
        live(&checkpointer, name).await;
    }

    assert_eq!(neighbours(&client, &schema).await, before);
    let state = format!("SELECT {}.state($1)::text", quote_identifier(&schema));
    let state = client.query_one(&state, &[&"neighbour-1"]).await.unwrap();
    let state: Value = serde_json::from_str(state.get(0)).unwrap();
    assert_eq!(state, json!({ "large": large(1) }));
    let drop = format!("DROP SCHEMA {} CASCADE", quote_identifier(&schema));
    client.batch_execute(&drop).await.unwrap();
}

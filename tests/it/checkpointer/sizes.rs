//! Large requests: they work, or are refused before anything is stored.

use std::sync::Arc;

use checkpointer::{
    Checkpointer, DeleteThread, List, ListThreads, Projection, Prune, PruneStrategy, PutWrites,
    Removed, TaskId,
};
use futures_util::TryStreamExt;
use rig::TestDb;
use serde_json::{Map, Value, json};

use super::step::{Step, checkpointer, get, ids, thread, values};

/// A busy machine may need longer than the usual half minute.
const PATIENT: &[(&str, &str)] = &[("DB_STATEMENT_TIMEOUT", "2min")];

#[tokio::test]
async fn a_filter_may_have_ten_thousand_keys() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, PATIENT).await;
    let keys = (0..10_000).map(|n| (format!("key {n}"), Value::from(n)));
    let many: Map<String, Value> = keys.collect();
    let mut step = Step::first(&thread("many"));
    for (key, value) in &many {
        step = step.metadata(key, value.clone());
    }
    let address = step.put(&checkpointer).await;
    Step::first(&thread("few")).put(&checkpointer).await;

    let found = checkpointer.list(List::all().filter(many.clone()));
    let found: Vec<_> = found.try_collect().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].address, address);
    let mut other = many;
    other.insert("key 9999".to_owned(), Value::Null);
    let found = checkpointer.list(List::all().filter(other));
    assert!(found.try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_state_may_have_twenty_megabytes() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, PATIENT).await;
    let message = |n: usize| json!({ "id": n, "content": format!("message {n}: ").repeat(90) });
    let messages: Vec<Value> = (0..20_000).map(message).collect();
    let first = Step::first(&thread("large")).values(json!({ "messages": messages }));
    assert!(
        serde_json::to_vec(&first.checkpoint.channel_values)
            .unwrap()
            .len()
            > 20 << 20
    );
    let address = first.put(&checkpointer).await;

    let mut messages = messages;
    messages.push(message(20_000));
    let second = Step::after(&address).values(json!({ "messages": messages }));
    let address = second.put(&checkpointer).await;
    // Not by `assert_eq`, which would print them.
    let got = get(&checkpointer, &address).await.checkpoint.channel_values;
    assert!(got == second.checkpoint.channel_values);

    // More than one page may hold, though they are few.
    let mut last = address;
    for _ in 0..3 {
        let step = Step::after(&last).values(json!({ "messages": messages }));
        last = step.put(&checkpointer).await;
    }
    let mut listed = checkpointer.list(List::thread(thread("large")).unwrap());
    let mut count = 0;
    while let Some(tuple) = listed.try_next().await.unwrap() {
        count += 1;
        let is_first = tuple.parent_address.is_none();
        let expected = if is_first { &first } else { &second };
        assert!(tuple.checkpoint.channel_values == expected.checkpoint.channel_values);
    }
    assert_eq!(count, 5);
}

#[tokio::test]
async fn a_checkpoint_may_have_ten_thousand_channels_and_a_task_as_many_writes() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, PATIENT).await;
    let channels = |from: usize| -> Value {
        let channels = (0..10_000).map(|n| (format!("channel {n}"), json!({ "n": n + from })));
        Value::Object(channels.collect())
    };
    let address = Step::first(&thread("wide"))
        .values(channels(0))
        .put(&checkpointer)
        .await;
    let address = Step::after(&address)
        .values(channels(1))
        .put(&checkpointer)
        .await;
    let writes: Vec<_> = (0..10_000)
        .map(|n| (format!("channel {n}"), Value::from(n)))
        .collect();
    let task_id = TaskId::new("task").unwrap();
    let put = PutWrites::new(&address, &task_id, &writes);
    checkpointer.put_writes(put).await.unwrap();

    let got = get(&checkpointer, &address).await;
    assert_eq!(values(&got), channels(1));
    let got = got.pending_writes.into_iter();
    assert!(
        got.map(|write| (write.channel, Arc::unwrap_or_clone(write.value)))
            .eq(writes)
    );
}

#[tokio::test]
async fn metadata_may_have_ten_megabytes() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, PATIENT).await;
    let note: Vec<String> = (0..100_000)
        .map(|n| format!("note {n}").repeat(10))
        .collect();
    let step = Step::first(&thread("noted")).metadata("notes", note);
    let address = step.put(&checkpointer).await;
    assert!(get(&checkpointer, &address).await.metadata == step.metadata);
}

/// Makes `count` further checkpoints in the namespaces `""` and `sub`, by SQL.
async fn fill(test: &TestDb, thread: &str, count: usize) {
    let schema = test.schema();
    let sql = format!(
        "INSERT INTO {schema}.checkpoints (thread_id, checkpoint_ns, checkpoint_id,
             parent_checkpoint_id, seq, checkpoint, channels, metadata)
         SELECT c.thread_id, ns, 'made-' || lpad(n::text, 9, '0'),
             CASE WHEN n > 1 THEN 'made-' || lpad((n - 1)::text, 9, '0') END,
             n + 1, c.checkpoint, c.channels, jsonb_set(c.metadata, '{{step}}', to_jsonb(n))
         FROM {schema}.checkpoints AS c, unnest(ARRAY['', 'sub']) AS ns,
             generate_series(1, {count} / 2) AS n
         WHERE c.thread_id = '{thread}';
         INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
         SELECT '{thread}', ns, 'made-' || lpad(({count} / 2)::text, 9, '0'), {count} / 2 + 1, now()
         FROM unnest(ARRAY['', 'sub']) AS ns
         ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE
         SET checkpoint_id = excluded.checkpoint_id, seq = excluded.seq;
         ANALYZE {schema}.checkpoints"
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_thread_of_twenty_thousand_checkpoints_is_listed_copied_pruned_and_deleted() {
    const COUNT: usize = 20_000;
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, PATIENT).await;
    let long = thread("long");
    let first = Step::first(&long).id("first").values(json!({ "n": 1 }));
    first.put(&checkpointer).await;
    fill(&test, "long", COUNT).await;

    let newest = List::thread(&long)
        .unwrap()
        .limit(10)
        .project(Projection::Metadata);
    let newest: Vec<_> = checkpointer.list(newest).try_collect().await.unwrap();
    let expected = |n: usize| format!("made-{:09}", COUNT / 2 - n / 2);
    for (n, tuple) in newest.iter().enumerate() {
        assert_eq!(tuple.address.checkpoint_id.as_str(), expected(n));
        assert_eq!(tuple.address.checkpoint_ns.is_root(), n % 2 == 0);
    }
    let all = List::thread(&long).unwrap().project(Projection::Metadata);
    let all: Vec<_> = checkpointer.list(all).try_collect().await.unwrap();
    assert_eq!(all.len(), COUNT + 1);

    let copy = thread("copy");
    checkpointer.copy_thread(&long, &copy).await.unwrap();
    let prune = Prune::new(vec![copy.clone()], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
    assert_eq!(ids(&checkpointer, &copy).await.len(), 2);
    checkpointer
        .delete_thread(DeleteThread::new(&long).unwrap())
        .await
        .unwrap();
    assert!(ids(&checkpointer, &long).await.is_empty());
}

#[tokio::test]
async fn ten_thousand_threads_are_listed_page_by_page() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, PATIENT).await;
    let schema = test.schema();
    let sql = format!(
        "INSERT INTO {schema}.threads (thread_id)
         SELECT 'thread ' || n FROM generate_series(1, 10000) AS n;
         INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
         SELECT thread_id, '', 'head', 1, now() FROM {schema}.threads"
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
    let threads = checkpointer.threads(ListThreads::all());
    let threads: Vec<_> = threads.try_collect().await.unwrap();
    assert_eq!(threads.len(), 10_000);
}

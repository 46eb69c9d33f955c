//! Lists of so many threads and checkpoints that they are read in several windows: they are whole, in
//! order and without repetition, as plain SQL has them. What is read together is shared.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use checkpointer::{
    CheckpointId, Checkpointer as _, List, ListThreads, PostgresCheckpointer, Projection,
    ThreadOrder,
};
use futures_util::TryStreamExt as _;
use serde_json::json;
use tokio_postgres::Client;

use super::step::{Step, checkpointer, large, map, thread, try_write};
use rig::TestDb;

/// The time before which everything was changed, in seconds.
const NOW: u64 = 1_800_000_000;

/// Threads that changed at most once a second, some at the same time. Every seventh has subgraphs that
/// changed before or after it, and every fiftieth has no head. Each tenth is deleted.
const THREADS: &str = "
    INSERT INTO {schema}.threads (thread_id, metadata, created_at, deleted_at, generation, has_head)
    SELECT 'thread ' || n,
        jsonb_build_object('n', n, 'half', n % 2, 'old', n > 2900, 'rare', n % 700),
        to_timestamp(1800000000 - n / 2 * 7), CASE WHEN n % 10 = 9 THEN now() END,
        1 + (n % 10 = 9)::integer, n % 50 <> 7
    FROM generate_series(1, 3000) AS n;
    INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT 'thread ' || n, ns, 'c', 1, to_timestamp(1800000000 - n / 2 * 7 + moved)
    FROM generate_series(1, 3000) AS n CROSS JOIN LATERAL (
        VALUES ('', 0), ('same', 0), ('earlier', -1000000), ('later', n % 3 * 500)) AS ns (ns, moved)
    WHERE n % 10 <> 9 AND n % 50 <> 7 AND (ns = '' OR n % 7 = 0)";

/// The threads in their order, the newest change first.
const EXPECTED: &str = "
    SELECT t.thread_id, extract(epoch FROM coalesce(h.updated_at, t.created_at))::bigint
    FROM {schema}.threads AS t CROSS JOIN LATERAL (
        SELECT max(updated_at) AS updated_at FROM {schema}.heads AS h
        WHERE h.thread_id = t.thread_id) AS h
    WHERE t.deleted_at IS NULL AND t.metadata @> $1::text::jsonb
    ORDER BY 2 DESC, 1";

async fn filled(sql: &str) -> (TestDb, Client, PostgresCheckpointer) {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let observer = test.observer().await;
    let sql = sql.replace("{schema}", test.schema());
    observer.batch_execute(&sql).await.unwrap();
    (test, observer, checkpointer)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn names(checkpointer: &PostgresCheckpointer, query: ListThreads) -> Vec<String> {
    let threads: Vec<_> = checkpointer.threads(query).try_collect().await.unwrap();
    let names = threads.iter().map(|thread| thread.thread_id.to_string());
    names.collect()
}

/// The names by pages of a size.
async fn paged(
    checkpointer: &PostgresCheckpointer,
    query: ListThreads,
    size: usize,
) -> Vec<String> {
    let mut names = Vec::new();
    let mut query = query.limit(size);
    loop {
        let page: Vec<_> = checkpointer
            .threads(query.clone())
            .try_collect()
            .await
            .unwrap();
        names.extend(page.iter().map(|thread| thread.thread_id.to_string()));
        match page.last() {
            Some(last) => query = query.after(last.clone()),
            None => return names,
        }
    }
}

#[tokio::test]
async fn a_list_of_threads_is_whole_and_in_order_however_many_windows_it_takes() {
    let (test, observer, checkpointer) = filled(THREADS).await;
    let expected = EXPECTED.replace("{schema}", test.schema());
    let (early, late) = (NOW - 8000, NOW - 3000);
    for filter in [
        json!({}),
        json!({ "half": 1 }),
        json!({ "old": true }),
        json!({ "rare": 33 }),
        json!({ "n": 2951 }),
        json!({ "n": "none" }),
    ] {
        let rows = observer.query(&expected, &[&filter.to_string()]).await;
        let rows: Vec<(String, i64)> = rows
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        for order in [ThreadOrder::NewestFirst, ThreadOrder::OldestFirst] {
            for (from, to) in [(0, NOW * 2), (0, late), (early, NOW * 2), (early, late)] {
                let within = |time: i64| from < time.unsigned_abs() && time.unsigned_abs() < to;
                let mut expected: Vec<_> = rows.iter().filter(|(_, time)| within(*time)).collect();
                if order == ThreadOrder::OldestFirst {
                    expected.sort_by_key(|(name, time)| (*time, name));
                }
                let expected: Vec<&String> = expected.iter().map(|(name, _)| name).collect();
                let mut query = ListThreads::all()
                    .changed_after(at(from))
                    .changed_before(at(to));
                query.order = order;
                if filter != json!({}) {
                    query = query.filter(map(filter.clone()));
                }
                let all = names(&checkpointer, query.clone()).await;
                assert_eq!(all.iter().collect::<Vec<_>>(), expected, "{query:?}");
                let pages = paged(&checkpointer, query.clone(), 170).await;
                assert_eq!(pages.iter().collect::<Vec<_>>(), expected, "{query:?}");
            }
        }
    }
}

/// Checkpoints of many threads with ids that several of them share.
const CHECKPOINTS: &str = "
    INSERT INTO {schema}.threads (thread_id, has_head)
    SELECT 'thread ' || n, true FROM generate_series(1, 7) AS n;
    INSERT INTO {schema}.checkpoints (thread_id, checkpoint_ns, checkpoint_id, seq, checkpoint,
        channels, metadata)
    SELECT 'thread ' || n % 7 + 1, CASE WHEN n % 3 = 0 THEN 'sub' ELSE '' END,
        'c' || lpad((n / 4)::text, 6, '0'), n,
        '{\"format\": 1, \"v\": 1, \"ts\": \"\", \"channel_versions\": {}, \"versions_seen\": {}}', '{}',
        jsonb_build_object('step', n, 'source', 'loop', 'half', n % 2, 'rare', n % 800)
    FROM generate_series(1, 13000) AS n";

const EXPECTED_CHECKPOINTS: &str = "
    SELECT thread_id, checkpoint_ns, checkpoint_id FROM {schema}.checkpoints
    WHERE metadata @> $1::text::jsonb AND checkpoint_id < $2
    ORDER BY 3 DESC, 1, 2";

#[tokio::test]
async fn a_list_of_all_threads_checkpoints_is_whole_and_in_order_few_or_many() {
    let (test, observer, checkpointer) = filled(CHECKPOINTS).await;
    let expected = EXPECTED_CHECKPOINTS.replace("{schema}", test.schema());
    for (filter, before) in [
        (json!({}), "c999999"),
        (json!({ "half": 1 }), "c001700"),
        (json!({ "source": "loop" }), "c999999"),
        (json!({ "rare": 3 }), "c999999"),
        (json!({ "rare": 3 }), "c001700"),
        (json!({ "step": 11 }), "c999999"),
        (json!({ "step": "none" }), "c999999"),
    ] {
        let rows = observer
            .query(&expected, &[&filter.to_string(), &before])
            .await;
        let rows: Vec<[String; 3]> = rows
            .unwrap()
            .iter()
            .map(|row| [row.get(0), row.get(1), row.get(2)])
            .collect();
        let mut query = List::all().project(Projection::Metadata);
        query = query.before(CheckpointId::new(before).unwrap());
        if filter != json!({}) {
            query = query.filter(map(filter.clone()));
        }
        let listed: Vec<_> = checkpointer.list(query).try_collect().await.unwrap();
        let listed = listed.iter().map(|tuple| {
            let address = &tuple.address;
            [
                address.thread_id.to_string(),
                address.checkpoint_ns.to_string(),
                address.checkpoint_id.to_string(),
            ]
        });
        assert_eq!(listed.collect::<Vec<_>>(), rows, "{filter}");
    }
}

#[tokio::test]
async fn pending_writes_that_are_listed_together_share_an_equal_large_value() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("thread");
    let first = Step::first(&thread_id).put(&checkpointer).await;
    let second = Step::after(&first).put(&checkpointer).await;
    let value = large(1);
    for (address, task) in [(&first, "a"), (&first, "b"), (&second, "c")] {
        let written = try_write(&checkpointer, address, task, &value);
        written.await.unwrap();
    }
    let listed = checkpointer.list(List::thread(&thread_id).unwrap());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    let writes = listed.iter().flat_map(|tuple| &tuple.pending_writes);
    let values: Vec<_> = writes.map(|write| &write.value).collect();
    assert_eq!(values.len(), 3);
    assert_eq!(**values[0], value);
    assert!(values.iter().all(|value| Arc::ptr_eq(value, values[0])));
}

//! Each call is one message to the server and one answer.

use checkpointer::{
    CheckpointNs, Checkpointer, GetTuple, List, PostgresCheckpointer, PostgresOptions, Projection,
};
use db::Database;
use futures_util::TryStreamExt;
use serde_json::json;

use super::step::{Step, get, large, thread, try_write};
use rig::{TcpProxy, TestDb};

const MODES: [&str; 2] = ["session", "transaction"];

/// A checkpointer with a pool of one, so that a statement prepared once stays prepared.
async fn through(proxy: &TcpProxy, mode: &str) -> PostgresCheckpointer {
    another(&TestDb::without_schema().await, proxy, mode).await
}

/// The same with a limit of bytes per thread that no thread comes near to.
async fn limited(proxy: &TcpProxy, mode: &str) -> PostgresCheckpointer {
    let variables = [("DB_POOL_MAX", "1"), ("DB_POOL_MODE", mode)];
    let settings = TestDb::without_schema()
        .await
        .settings_through(proxy, &variables);
    let database = Database::connect(&settings).await.unwrap();
    let options = PostgresOptions::default().max_thread_bytes(1 << 40);
    options.setup(database).await.unwrap()
}

/// The same, in a schema that others may use as well.
async fn another(test: &TestDb, proxy: &TcpProxy, mode: &str) -> PostgresCheckpointer {
    let variables = [("DB_POOL_MAX", "1"), ("DB_POOL_MODE", mode)];
    let settings = test.settings_through(proxy, &variables);
    let database = Database::connect(&settings).await.unwrap();
    PostgresCheckpointer::setup(database).await.unwrap()
}

/// Makes a call twice, the second time with its statement prepared, and compares what that took.
async fn check(
    (proxy, mode): (&TcpProxy, &str),
    what: &str,
    expected: usize,
    mut call: impl AsyncFnMut(),
) {
    call().await;
    let before = proxy.round_trips();
    call().await;
    let taken = proxy.round_trips() - before;
    assert_eq!(taken, expected, "{what} in {mode} mode");
}

#[tokio::test]
async fn each_write_is_one_round_trip() {
    for (mode, is_limited) in MODES
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        let proxy = TcpProxy::new();
        let checkpointer = match is_limited {
            true => limited(&proxy, mode).await,
            false => through(&proxy, mode).await,
        };
        let on = (&proxy, mode);

        let mut threads = 0;
        check(on, "the first put of a thread", 1, async || {
            threads += 1;
            let step = Step::first(&thread(&format!("first {threads}")));
            step.values(json!({ "a": large(1) }))
                .put(&checkpointer)
                .await;
        })
        .await;
        check(on, "the first guarded put of a thread", 1, async || {
            threads += 1;
            let step = Step::first(&thread(&format!("first {threads}")));
            step.expect_no_head().put(&checkpointer).await;
        })
        .await;

        let mut last = Step::first(&thread("known")).put(&checkpointer).await;
        check(on, "a put to a known thread", 1, async || {
            let step = Step::after(&last).values(json!({ "a": large(2), "b": 3 }));
            last = step.put(&checkpointer).await;
        })
        .await;
        check(on, "a guarded put", 1, async || {
            let step = Step::after(&last).values(json!({ "a": large(2) }));
            last = step.expect_head(&last).put(&checkpointer).await;
        })
        .await;
        let again = Step::first(&thread("again")).id("again");
        again.put(&checkpointer).await;
        check(on, "a first put that is stored already", 1, async || {
            again.put(&checkpointer).await;
        })
        .await;
        // It is taken to be new, then looked for, and then replaced.
        let again = Step::after(&last).id("again");
        again.put(&checkpointer).await;
        check(on, "a put that is stored already", 3, async || {
            again.put(&checkpointer).await;
        })
        .await;

        let mut tasks = 0;
        check(on, "writes", 1, async || {
            tasks += 1;
            let task = format!("task {tasks}");
            let written = try_write(&checkpointer, &last, &task, &large(tasks)).await;
            written.unwrap();
        })
        .await;
        check(on, "writes before their checkpoint", 1, async || {
            tasks += 1;
            let address = Step::first(&thread(&format!("early {tasks}"))).address();
            let written = try_write(&checkpointer, &address, "task", &json!(1)).await;
            written.unwrap();
        })
        .await;

        let mut saved = checkpointer.thread::<Vec<u64>>("typed").unwrap();
        check(on, "a typed save", 1, async || {
            saved.save(&vec![1, 2, 3]).await.unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn each_read_is_one_round_trip() {
    for mode in MODES {
        let proxy = TcpProxy::new();
        let checkpointer = through(&proxy, mode).await;
        let on = (&proxy, mode);
        let thread_id = thread("read");
        let mut last = Step::first(&thread_id).put(&checkpointer).await;
        for n in 0..5 {
            let step = Step::after(&last).values(json!({ "a": large(n), "b": large(7), "c": n }));
            last = step.put(&checkpointer).await;
            let written = try_write(&checkpointer, &last, "task", &large(n)).await;
            written.unwrap();
        }

        let find = async |query: GetTuple| checkpointer.get_tuple(query).await.unwrap();
        check(on, "the head", 1, async || {
            assert!(find(GetTuple::head(&thread_id).unwrap()).await.is_some());
        })
        .await;
        check(on, "a checkpoint by its id", 1, async || {
            assert!(find(GetTuple::at(&last)).await.is_some());
        })
        .await;
        check(on, "what isn't there", 1, async || {
            assert!(
                find(GetTuple::head(thread("other")).unwrap())
                    .await
                    .is_none()
            );
        })
        .await;

        let list = async |query: List, expected: usize| {
            let listed: Vec<_> = checkpointer.list(query).try_collect().await.unwrap();
            assert_eq!(listed.len(), expected);
        };
        check(on, "a page of everything", 1, async || {
            list(List::thread(&thread_id).unwrap(), 6).await;
        })
        .await;
        check(on, "a page with all restrictions", 1, async || {
            let step = Step::first(&thread_id);
            let filter = step.metadata.into_map();
            let query = List::thread(&thread_id)
                .unwrap()
                .in_ns(CheckpointNs::ROOT)
                .before(step.checkpoint.id)
                .filter(filter)
                .limit(3);
            list(query, 3).await;
        })
        .await;
        check(on, "a page of metadata", 1, async || {
            list(
                List::thread(&thread_id)
                    .unwrap()
                    .project(Projection::Metadata),
                6,
            )
            .await;
        })
        .await;
        check(on, "a page of threads", 1, async || {
            let threads = checkpointer.threads(checkpointer::ListThreads::all());
            let threads: Vec<_> = threads.try_collect().await.unwrap();
            assert_eq!(threads.len(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_stored_is_not_sent_again() {
    let proxy = TcpProxy::new();
    let checkpointer = through(&proxy, "session").await;
    let values = json!({ "a": large(1), "b": "x".repeat(100_000) });
    let mut last = Step::first(&thread("sent once"))
        .values(values.clone())
        .put(&checkpointer)
        .await;
    for _ in 0..2 {
        // Once for the statement itself.
        let before = proxy.bytes_sent();
        last = Step::after(&last)
            .values(values.clone())
            .put(&checkpointer)
            .await;
        try_write(&checkpointer, &last, "task", &values["b"])
            .await
            .unwrap();
        let sent = proxy.bytes_sent() - before;
        assert!(sent < 16_000, "{sent} bytes");
    }

    let before = proxy.bytes_sent();
    let step = Step::after(&last).values(values.clone());
    last = step.put(&checkpointer).await;
    let sent = proxy.bytes_sent() - before;
    assert!(sent < 2_000, "{sent} bytes for a put");

    let before = proxy.bytes_sent();
    let written = try_write(&checkpointer, &last, "other", &values["b"]).await;
    written.unwrap();
    let sent = proxy.bytes_sent() - before;
    assert!(sent < 1_000, "{sent} bytes for a write");
}

#[tokio::test]
async fn what_was_read_is_not_sent_again() {
    let proxy = TcpProxy::new();
    let test = TestDb::without_schema().await;
    let writer = another(&test, &proxy, "session").await;
    let values = json!({ "a": large(1), "b": "x".repeat(100_000) });
    let first = Step::first(&thread("read first")).values(values.clone());
    let address = first.put(&writer).await;

    let reader = another(&test, &proxy, "session").await;
    let tuple = get(&reader, &address).await;
    let before = proxy.bytes_sent();
    let step = Step::after(&tuple.address).values(values.clone());
    step.put(&reader).await;
    let sent = proxy.bytes_sent() - before;
    assert!(sent < 16_000, "{sent} bytes");
}

//! What can't be decoded comes over as it is, and what can't be stored is reported.

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Error, GetTuple, PostgresOptions,
};
use expect_test::expect;
use langgraph::Reason;
use serde_json::{Value, json};

use super::compare::check_all;
use super::source::Source;

#[tokio::test]
async fn damaged_values_come_over_as_they_are() {
    let source = Source::recorded().await;
    source
        .run(
            "UPDATE {schema}.checkpoint_blobs SET blob = substr(blob, 1, length(blob) - 1)
             WHERE thread_id = 'agent' AND channel = 'messages' AND type = 'msgpack';
             UPDATE {schema}.checkpoint_writes SET blob = '\\xc1', type = 'of another'
             WHERE thread_id = 'subgraphs' AND channel = 'x'",
        )
        .await;
    let (target, report) = source.imported().await;
    check_all(&source, &target).await;
    expect!["34"].assert_eq(&report.opaque.to_string());
    assert_eq!(report.losses.len(), 2);
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_one_is_reported_and_the_others_come_over() {
    let source = Source::recorded().await;
    source
        .run(
            "DELETE FROM {schema}.checkpoints WHERE thread_id <> 'forks';
             DELETE FROM {schema}.checkpoint_writes;
             INSERT INTO {schema}.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
             VALUES
                ('forks', '', '', '{}', '{}'),
                ('forks', '', '0 no object', '[]', '{}'),
                ('forks', '', '1 no versions', '{\"channel_versions\": [1]}', '{}'),
                ('forks', '', '2 no metadata', '{}', '[]'),
                ('forks', '', '3 a version', '{\"channel_versions\": {\"a\": null}}', '{}'),
                ('forks', repeat('n', 2049), '1', '{}', '{}'),
                ('forks', repeat('n', 2049), '2', '{}', '{}'),
                ('forks', '', repeat('4', 300), '{}', '{}');
             INSERT INTO {schema}.checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, type, blob)
             VALUES
                ('forks', '5', '', 0, 'a', 'null', ''),
                ('forks', '5', 'task', 0, repeat('c', 5000), 'null', ''),
                ('forks', '5', 'task 2', 0, 'a', 'null', '')",
        )
        .await;
    let (_, report) = source.imported().await;
    let losses: Vec<_> = report.losses.iter().map(ToString::to_string).collect();
    let losses = losses
        .join("\n")
        .replace(&"n".repeat(2049), "nn…")
        .replace(&"4".repeat(300), "44…");
    expect![[r#"
        thread `forks`: the checkpoint_id is empty
        thread `forks`, checkpoint `0 no object`: the stored `checkpoint` isn't an object
        thread `forks`, checkpoint `1 no versions`: the stored `channel_versions` isn't an object
        thread `forks`, checkpoint `2 no metadata`: the stored `metadata` isn't an object
        thread `forks`, checkpoint `3 a version`: the checkpoint's `channel_versions.a` must be a string, a float or an integer of 64 bits
        thread `forks`, checkpoint `44…`: the checkpoint_id has 300 bytes, at most 256 are allowed
        thread `forks`, namespace `nn…`: the checkpoint_ns has 2049 bytes, at most 2048 are allowed
        thread `forks`, checkpoint `5`: the task_id is empty
        thread `forks`, checkpoint `5`, task `task`: the channel has 5000 bytes, at most 4096 are allowed"#]].assert_eq(&losses);
    assert_eq!(report.writes, 1);
}

/// Older savers had no index of its own for an interrupt, so a task could have several.
#[tokio::test]
async fn of_several_interrupts_of_a_task_the_last_one_comes_over_and_the_others_are_reported() {
    let source = Source::recorded().await;
    source
        .run(
            "DELETE FROM {schema}.checkpoints WHERE thread_id <> 'by hand';
             DELETE FROM {schema}.checkpoint_writes;
             INSERT INTO {schema}.checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, type, blob)
             VALUES
                ('by hand', '10', 'asks', 0, '__interrupt__', 'json', '1'),
                ('by hand', '10', 'asks', 1, '__interrupt__', 'json', '2'),
                ('by hand', '10', 'asks', 2, 'a', 'null', ''),
                ('by hand', '10', 'asks', 3, 'a', 'null', '')",
        )
        .await;
    let (target, report) = source.imported().await;
    assert_eq!(report.writes, 3);
    let losses: Vec<_> = report.losses.iter().map(ToString::to_string).collect();
    expect!["thread `by hand`, checkpoint `10`, task `asks`: a later write of the task to `__interrupt__` takes its place"]
        .assert_eq(&losses.join("\n"));
    let address = CheckpointAddress::new("by hand", "10").unwrap();
    let found = target.get_tuple(GetTuple::at(&address)).await.unwrap();
    let writes = found.unwrap().pending_writes;
    let writes: Vec<_> = writes
        .into_iter()
        .map(|write| (write.channel, Value::clone(&write.value)))
        .collect();
    let interrupt = json!({ "!": "json", "v": "2" });
    assert_eq!(
        writes,
        [
            ("__interrupt__".to_owned(), interrupt),
            ("a".to_owned(), json!(null)),
            ("a".to_owned(), json!(null)),
        ]
    );
}

#[tokio::test]
async fn what_older_savers_left_out_has_defaults() {
    let source = Source::recorded().await;
    source
        .run(
            "DELETE FROM {schema}.checkpoints;
             DELETE FROM {schema}.checkpoint_writes;
             INSERT INTO {schema}.checkpoints (thread_id, checkpoint_id, checkpoint)
             VALUES ('old', '1', '{\"id\": \"1\"}')",
        )
        .await;
    let (_, report) = source.imported().await;
    assert_eq!((report.checkpoints, report.losses.len()), (1, 0));
}

#[tokio::test]
async fn a_thread_that_has_no_room_is_reported_and_the_others_come_over() {
    let source = Source::recorded().await;
    source
        .run(
            "DELETE FROM {schema}.checkpoints;
             DELETE FROM {schema}.checkpoint_writes;
             INSERT INTO {schema}.checkpoints (thread_id, checkpoint_id, checkpoint)
             SELECT thread_id, '1', jsonb_build_object('channel_values', jsonb_build_object('text', (
                 SELECT string_agg(md5(i::text), '') FROM generate_series(1, items) AS i)))
             FROM (VALUES ('a', 1), ('b', 100000), ('c', 1)) AS threads (thread_id, items)",
        )
        .await;
    let options = PostgresOptions::default().max_thread_bytes(1 << 20);
    let target = source.target_with(options).await;
    let report = source.import().await.run(&target).await.unwrap();
    assert_eq!((report.threads, report.checkpoints), (3, 2));
    let losses: Vec<_> = report
        .losses
        .iter()
        .map(|loss| (loss.thread_id.as_str(), &loss.place, &loss.reason))
        .collect();
    assert!(
        matches!(
            losses[..],
            [("b", None, Reason::Refused(Error::ThreadFull { .. }))]
        ),
        "{losses:?}"
    );
    for (thread_id, is_there) in [("a", true), ("b", false), ("c", true)] {
        let head = target.get_tuple(GetTuple::head(thread_id).unwrap()).await;
        assert_eq!(head.unwrap().is_some(), is_there, "{thread_id}");
    }
}

/// The first checkpoint of one has no parent, which would start the thread again. That of the other has
/// a parent that was pruned.
#[tokio::test]
async fn threads_that_were_deleted_stay_deleted_and_the_others_come_over() {
    let source = Source::recorded().await;
    let (target, first) = source.imported().await;
    let deleted = ["agent", "by hand"];
    for thread_id in deleted {
        let delete = DeleteThread::new(thread_id).unwrap();
        target.delete_thread(delete).await.unwrap();
    }
    let (_, second) = source.imported().await;
    // Two have ids that can't be one.
    assert_eq!(
        (second.present, second.checkpoints, second.writes),
        (first.threads - 4, 0, 0)
    );
    for thread_id in deleted {
        let of_thread = second.losses.iter();
        let of_thread = of_thread.filter(|loss| loss.thread_id == thread_id);
        let reasons: Vec<_> = of_thread.map(|loss| &loss.reason).collect();
        assert!(matches!(reasons[..], [Reason::Deleted]), "{reasons:?}");
        let head = target.get_tuple(GetTuple::head(thread_id).unwrap()).await;
        assert_eq!(head.unwrap(), None);
    }
}

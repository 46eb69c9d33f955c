//! Verifying what is stored: each kind of damage is found and named, what can be repaired without
//! loss is repaired, and a database at work has no findings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use checkpointer::FindingKind::*;
use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, DeleteThread, Error, Finding, FindingKind,
    GetTuple, PostgresCheckpointer, Prune, PruneStrategy, Retention, VerifiedThread, Verify,
};
use expect_test::expect;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::removal::rows;
use super::step::{Step, checkpointer, head, large, map, thread, try_write, two};
use rig::TestDb;

/// What is done to the rows of a thread, what is found then, and what is left after a repair.
struct Case {
    what: &'static str,
    damage: &'static str,
    found: &'static [FindingKind],
    left: &'static [FindingKind],
}

const CASES: &[Case] = &[
    Case {
        what: "a leaf holds something else",
        damage: "UPDATE {schema}.chunks SET content = '[\"?\"]' WHERE thread_id = 'damaged'
            AND hash = (SELECT hash FROM {schema}.chunks WHERE thread_id = 'damaged'
                AND content IS NOT NULL AND refs IS NULL ORDER BY hash LIMIT 1)",
        found: &[CheckpointUnreadable, ChunkDamaged],
        left: &[CheckpointUnreadable, ChunkDamaged],
    },
    Case {
        what: "a chunk refers to half a chunk more",
        damage: "UPDATE {schema}.chunks SET refs = refs || '\\x0102' WHERE thread_id = 'damaged'
            AND hash = (SELECT hash FROM {schema}.chunks WHERE thread_id = 'damaged'
                AND content IS NOT NULL AND refs IS NOT NULL ORDER BY hash LIMIT 1)",
        found: &[ChunkDamaged],
        left: &[ChunkDamaged],
    },
    Case {
        what: "a node refers to others",
        damage: "UPDATE {schema}.chunks SET refs = substring(refs FROM 17)
            WHERE thread_id = 'damaged' AND content IS NULL AND length(refs) > 16",
        found: &[CheckpointUnreadable, ChunkDamaged, ChunksUnneeded],
        left: &[CheckpointUnreadable, ChunkDamaged, ChunksUnneeded],
    },
    Case {
        what: "a hash is cut",
        damage: "UPDATE {schema}.chunks SET hash = substring(hash FOR 8)
            WHERE thread_id = 'damaged' AND hash IN (SELECT below.hash FROM {schema}.chunks AS c,
                {schema}.unpacked(c.refs) AS below WHERE c.thread_id = 'damaged')",
        found: &[
            CheckpointUnreadable,
            ChunkDamaged,
            ChunkMissing,
            ChunksUnneeded,
        ],
        left: &[
            CheckpointUnreadable,
            ChunkDamaged,
            ChunkMissing,
            ChunksUnneeded,
        ],
    },
    Case {
        what: "a chunk is empty",
        damage: "UPDATE {schema}.chunks SET content = NULL WHERE thread_id = 'damaged'
            AND refs IS NULL",
        found: &[CheckpointUnreadable, ChunkDamaged],
        left: &[CheckpointUnreadable, ChunkDamaged],
    },
    Case {
        what: "a chunk that another one refers to is gone",
        damage: "DELETE FROM {schema}.chunks WHERE thread_id = 'damaged'
            AND refs IS NULL AND hash IN (SELECT below.hash FROM {schema}.chunks AS c,
                {schema}.unpacked(c.refs) AS below WHERE c.thread_id = 'damaged')",
        found: &[CheckpointUnreadable, ChunkMissing],
        left: &[CheckpointUnreadable, ChunkMissing],
    },
    Case {
        what: "a chunk that a checkpoint refers to is gone",
        damage: "DELETE FROM {schema}.chunks WHERE thread_id = 'damaged' AND hash IN (
            SELECT top.hash FROM {schema}.checkpoints AS c,
                {schema}.top_chunks(c.channels -> 'note') AS top WHERE c.thread_id = 'damaged'
                AND c.checkpoint_id = '2')",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a leaf that a checkpoint refers to is gone",
        damage: "DELETE FROM {schema}.chunks WHERE thread_id = 'damaged' AND hash = (
            SELECT top.hash FROM {schema}.checkpoints AS c,
                {schema}.top_chunks(c.channels -> 'messages') AS top WHERE c.thread_id = 'damaged'
                AND c.checkpoint_id = '2' ORDER BY top.hash LIMIT 1)",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference says another depth",
        damage:
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{messages,d}', '1')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference says another kind",
        damage:
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{messages,k}', '\"o\"')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference says of an object that nothing in it is cut",
        damage:
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{nested,k}', '\"o\"')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference says of a list that nothing in it is cut",
        damage:
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{lists,k}', '\"a\"')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference says of a long list that nothing in it is cut, and its last leaf says otherwise",
        damage:
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{deep,k}', '\"a\"')
            WHERE thread_id = 'damaged' AND checkpoint_id = '1'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference says of a pending write that nothing in it is cut",
        damage: "UPDATE {schema}.pending_writes SET value = jsonb_set(value, '{k}', '\"a\"')
            WHERE thread_id = 'damaged' AND task_id = 'lists'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a reference can't be followed",
        damage:
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{messages,d}', '-7')
            WHERE thread_id = 'damaged'",
        found: &[CheckpointUnreadable, ChunksUnneeded],
        left: &[CheckpointUnreadable, ChunksUnneeded],
    },
    Case {
        what: "a value has an unknown form",
        damage: "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{n}', '7')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "an object has an order of other keys",
        damage: "UPDATE {schema}.checkpoints
            SET channels = jsonb_set(channels, '{n}', '[{\"a\": 1, \"\\u0001o\": \"1 0\"}]')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "there is no object of channels",
        damage: "UPDATE {schema}.checkpoints SET channels = '7'
            WHERE thread_id = 'damaged' AND checkpoint_id = '3'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a checkpoint has an unknown format",
        damage: "UPDATE {schema}.checkpoints SET checkpoint = checkpoint || '{\"format\": 99}'
            WHERE thread_id = 'damaged' AND checkpoint_id = '3'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "metadata is no object",
        damage: "UPDATE {schema}.checkpoints SET metadata = '[]'
            WHERE thread_id = 'damaged' AND checkpoint_id = '3'",
        found: &[CheckpointUnreadable],
        left: &[CheckpointUnreadable],
    },
    Case {
        what: "a pending write has an unknown form",
        damage: "UPDATE {schema}.pending_writes SET value = '7' WHERE thread_id = 'damaged'",
        found: &[CheckpointUnreadable, ChunksUnneeded],
        left: &[CheckpointUnreadable, ChunksUnneeded],
    },
    Case {
        what: "a pending write without its checkpoint has an unknown form",
        damage: "UPDATE {schema}.pending_writes SET value = '7', checkpoint_id = '4'
            WHERE thread_id = 'damaged' AND task_id = 'small'",
        found: &[WriteUnreadable],
        left: &[WriteUnreadable],
    },
    Case {
        what: "pending writes have lost their checkpoint",
        damage: "UPDATE {schema}.pending_writes SET written_at = now() - interval '2 days',
            checkpoint_id = '4' WHERE thread_id = 'damaged'",
        found: &[WritesWithoutCheckpoint],
        left: &[],
    },
    Case {
        what: "a parent is gone",
        damage: "DELETE FROM {schema}.checkpoints WHERE thread_id = 'damaged'
            AND checkpoint_id = '1'",
        found: &[ParentMissing, ChunksUnneeded],
        left: &[ParentMissing, ChunksUnneeded],
    },
    Case {
        what: "the head is gone",
        damage: "DELETE FROM {schema}.heads WHERE thread_id = 'damaged'",
        found: &[ThreadUnlisted, HeadMissing],
        left: &[],
    },
    Case {
        what: "the head names no checkpoint",
        damage: "UPDATE {schema}.heads SET checkpoint_id = '4' WHERE thread_id = 'damaged'",
        found: &[HeadWithoutCheckpoint],
        left: &[HeadWithoutCheckpoint],
    },
    Case {
        what: "the head is an older one",
        damage: "UPDATE {schema}.heads SET checkpoint_id = '1' WHERE thread_id = 'damaged'",
        found: &[HeadNotLast],
        left: &[HeadNotLast],
    },
    Case {
        what: "the head counts too few",
        damage: "UPDATE {schema}.heads SET seq = 1 WHERE thread_id = 'damaged'",
        found: &[HeadCountTooLow],
        left: &[],
    },
    Case {
        what: "the thread's row is gone",
        damage: "DELETE FROM {schema}.threads WHERE thread_id = 'damaged'",
        found: &[ThreadMissing],
        left: &[],
    },
    Case {
        what: "the thread's metadata is no object",
        damage: "UPDATE {schema}.threads SET metadata = '[]' WHERE thread_id = 'damaged'",
        found: &[ThreadUnreadable],
        left: &[ThreadUnreadable],
    },
    Case {
        what: "the thread was started less than once",
        damage: "UPDATE {schema}.threads SET generation = 0 WHERE thread_id = 'damaged'",
        found: &[ThreadUnreadable],
        left: &[ThreadUnreadable],
    },
    Case {
        what: "a deletion has left rows",
        damage: "UPDATE {schema}.threads SET deleted_at = now() WHERE thread_id = 'damaged'",
        found: &[RowsOfDeletedThread],
        left: &[],
    },
];

/// Two threads, of which one is damaged.
struct Stored {
    test: TestDb,
    checkpointer: PostgresCheckpointer,
    client: Client,
}

impl Stored {
    async fn new() -> Self {
        let test = TestDb::without_schema().await;
        let checkpointer = checkpointer(&test, &[]).await;
        make(&checkpointer, "sound").await;
        let client = test.observer().await;
        Self {
            test,
            checkpointer,
            client,
        }
    }

    async fn damage(&self, sql: &str) {
        let sql = sql.replace("{schema}", self.test.schema());
        let changed = self.client.execute(&sql, &[]).await.unwrap();
        assert!(changed > 0, "{sql}");
    }

    /// Verifies all threads, and returns what was found of those that aren't sound or have findings.
    async fn verify(&self, repair: bool) -> Vec<Finding> {
        let verify = Verify::all().repair(repair);
        let verified: Vec<VerifiedThread> = self
            .checkpointer
            .verify(verify)
            .try_collect()
            .await
            .unwrap();
        let (sound, damaged): (Vec<_>, Vec<_>) =
            (verified.into_iter()).partition(|thread| thread.thread_id.as_str() == "sound");
        assert!(sound.iter().all(|thread| thread.findings.is_empty()));
        damaged
            .into_iter()
            .flat_map(|thread| thread.findings)
            .collect()
    }

    async fn kinds(&self, repair: bool) -> Vec<FindingKind> {
        kinds(&self.verify(repair).await)
    }

    /// How many threads have yet to be swept.
    async fn unswept(&self) -> i64 {
        let sql = format!("SELECT count(*) FROM {}.unswept", self.test.schema());
        self.client.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Removes every row of all threads but the sound one.
    async fn clean(&self) {
        for table in [
            "threads",
            "heads",
            "checkpoints",
            "chunks",
            "pending_writes",
            "unswept",
        ] {
            let schema = self.test.schema();
            let sql = format!("DELETE FROM {schema}.{table} WHERE thread_id <> 'sound'");
            self.client.execute(&sql, &[]).await.unwrap();
        }
    }
}

/// The kinds of findings, each once.
fn kinds(findings: &[Finding]) -> Vec<FindingKind> {
    let mut kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// Makes a thread with values that are small, cut, and cut with further cut values inside.
async fn make(checkpointer: &PostgresCheckpointer, name: &str) -> CheckpointAddress {
    let state = |n: usize| {
        json!({
            "n": n,
            "messages": large(n),
            "lists": [large(30 + n), large(40 + n)],
            "nested": { "of": [large(10 + n), large(20 + n)], "note": "y".repeat(1500) },
            "note": "x".repeat(1500 + n),
        })
    };
    let mut of_first = map(state(1));
    // So large that nodes stand above its leaves.
    let many = |seed: usize| (0..8).flat_map(move |n| large(seed + n).as_array().cloned().unwrap());
    of_first.insert("many".to_owned(), many(100).collect());
    let deep = many(200).chain([large(50)]);
    of_first.insert("deep".to_owned(), deep.collect());
    let first = Step::first(&thread(name)).id("1").values(of_first.into());
    let first = first.put(checkpointer).await;
    let second = Step::after(&first).id("2").values(state(2));
    let second = second.put(checkpointer).await;
    let third = Step::after(&second).id("3").values(json!({ "n": 3 }));
    let third = third.put(checkpointer).await;
    let lists = json!([large(60), large(70)]);
    for (task, value) in [("small", json!([1])), ("large", large(9)), ("lists", lists)] {
        try_write(checkpointer, &third, task, &value).await.unwrap();
    }
    let metadata = map(json!({ "owner": name }));
    checkpointer
        .set_thread_metadata(&thread(name), metadata)
        .await
        .unwrap();
    third
}

#[tokio::test]
async fn each_damage_is_found_and_what_can_be_repaired_is() {
    let stored = Stored::new().await;
    for case in CASES {
        let Case {
            what,
            damage,
            found,
            left,
        } = case;
        let (source, target) = (thread("sound"), thread("damaged"));
        let copied = stored.checkpointer.copy_thread(&source, &target);
        copied.await.unwrap();
        // What the program has read makes no damage sound.
        for id in ["1", "2"] {
            let read = CheckpointAddress::new(target.clone(), CheckpointId::new(id).unwrap());
            let read = GetTuple::at(&read.unwrap());
            stored.checkpointer.get_tuple(read).await.unwrap().unwrap();
        }
        stored.damage(damage).await;
        assert_eq!(stored.kinds(false).await, *found, "{what}");

        let findings = stored.verify(true).await;
        for finding in &findings {
            let is_repaired = !left.contains(&finding.kind);
            assert_eq!(finding.repaired, is_repaired, "{what}: {finding:?}");
            assert!(!is_repaired || finding.kind.is_repairable());
        }
        assert_eq!(stored.kinds(false).await, *left, "after a repair: {what}");
        stored.clean().await;
    }
}

/// A verification reads one checkpoint after the other, and what it has read of one doesn't stand for the next.
#[tokio::test]
async fn of_two_checkpoints_with_one_list_the_damaged_one_is_found() {
    let stored = Stored::new().await;
    let values = |n: usize| json!({ "messages": large(n), "lists": [large(3), large(4)] });
    let first = Step::first(&thread("damaged")).id("1").values(values(1));
    let first = first.put(&stored.checkpointer).await;
    let second = Step::after(&first).id("2").values(values(2));
    second.put(&stored.checkpointer).await;
    stored
        .damage(
            "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{lists,k}', '\"a\"')
            WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
        )
        .await;
    let findings = stored.verify(false).await;
    assert_eq!(kinds(&findings), [CheckpointUnreadable], "{findings:?}");
    assert_eq!(findings[0].checkpoint_id.as_ref().unwrap().as_str(), "2");
}

/// A sweep doesn't know what a checkpoint needs whose reference has lost its hashes.
#[tokio::test]
async fn nothing_is_swept_where_a_reference_has_no_hashes() {
    for damage in ["- 'r'::text", "|| '{\"r\": null}'"] {
        let stored = Stored::new().await;
        make(&stored.checkpointer, "damaged").await;
        stored
            .damage(&format!(
                "UPDATE {{schema}}.checkpoints
                SET channels = jsonb_set(channels, '{{lists}}', (channels -> 'lists') {damage})
                WHERE thread_id = 'damaged' AND checkpoint_id = '2'"
            ))
            .await;
        assert!(stored.kinds(true).await.contains(&CheckpointUnreadable));
        let before = size(&stored).await;
        let keep = PruneStrategy::Keep(Retention::keep_last(2));
        let prune = Prune::new([thread("damaged")], keep).unwrap();
        let removed = stored.checkpointer.prune(prune).await.unwrap();
        assert_eq!((removed.checkpoints, removed.failed.len()), (1, 1));
        assert_eq!(size(&stored).await, before, "{damage}");
    }
}

/// What no hash covers of a reference may be damaged. Once it is mended, everything is there.
#[tokio::test]
async fn what_a_damaged_reference_needs_is_never_removed() {
    const KEPT: &str = "CREATE TABLE {schema}.kept_checkpoints AS
            SELECT * FROM {schema}.checkpoints WHERE thread_id = 'damaged';
        CREATE TABLE {schema}.kept_writes AS
            SELECT * FROM {schema}.pending_writes WHERE thread_id = 'damaged'";
    const MEND: &str = "UPDATE {schema}.checkpoints AS c SET channels = kept.channels
            FROM {schema}.kept_checkpoints AS kept
            WHERE (c.thread_id, c.checkpoint_id) = (kept.thread_id, kept.checkpoint_id);
        UPDATE {schema}.pending_writes AS w SET value = kept.value
            FROM {schema}.kept_writes AS kept
            WHERE (w.thread_id, w.task_id) = (kept.thread_id, kept.task_id);
        DROP TABLE {schema}.kept_checkpoints, {schema}.kept_writes";
    let stored = Stored::new().await;
    let run = async |sql: &str| {
        let sql = sql.replace("{schema}", stored.test.schema());
        stored.client.batch_execute(&sql).await.unwrap();
    };
    // In checkpoint 2, and in a pending write.
    for (channel, damage) in [
        ("nested", "'{\"k\": \"o\"}'"),
        ("lists", "'{\"k\": \"a\"}'"),
        ("lists", "'{\"k\": \"a\", \"d\": null}'"),
        ("lists", "'{\"k\": \"a\", \"d\": \"?\"}'"),
        ("messages", "'{\"d\": 0.5}'"),
        ("lists", "'{\"k\": 7, \"d\": 7}'"),
    ] {
        let (source, target) = (thread("sound"), thread("damaged"));
        let copied = stored.checkpointer.copy_thread(&source, &target);
        copied.await.unwrap();
        run(KEPT).await;
        run(&format!(
            "UPDATE {{schema}}.checkpoints
            SET channels = jsonb_set(channels, '{{{channel}}}', channels -> '{channel}' || {damage})
            WHERE thread_id = 'damaged' AND checkpoint_id = '2';
            UPDATE {{schema}}.pending_writes SET value = value || {damage}
            WHERE thread_id = 'damaged' AND task_id = 'lists'"
        ))
        .await;
        let found = stored.kinds(true).await;
        assert!(found.contains(&CheckpointUnreadable), "{damage}: {found:?}");
        // The first checkpoint goes, and a sweep follows.
        let keep = || PruneStrategy::Keep(Retention::keep_last(2));
        let prune = || Prune::new([&target], keep()).unwrap();
        let counted = stored.checkpointer.prune(prune().dry_run(true)).await;
        let counted = counted.unwrap();
        let removed = stored.checkpointer.prune(prune()).await;
        let removed = removed.unwrap();
        assert_eq!((removed.checkpoints, counted.checkpoints), (1, 1));
        assert_eq!(removed.bytes, counted.bytes, "{damage}");
        removed.complete().unwrap();
        stored.kinds(true).await;
        run(MEND).await;
        assert_eq!(stored.kinds(false).await, [], "{damage}");
        stored.clean().await;
    }
}

#[tokio::test]
async fn a_finding_says_where_it_is() {
    let stored = Stored::new().await;
    make(&stored.checkpointer, "damaged").await;
    stored
        .damage(
            "DELETE FROM {schema}.chunks WHERE thread_id = 'damaged' AND hash IN (
                SELECT top.hash FROM {schema}.checkpoints AS c,
                    {schema}.top_chunks(c.channels -> 'note') AS top
                WHERE c.thread_id = 'damaged' AND c.checkpoint_id = '2')",
        )
        .await;
    stored
        .damage("UPDATE {schema}.heads SET seq = 1 WHERE thread_id = 'damaged'")
        .await;
    let findings = stored.verify(false).await;
    let texts: Vec<_> = findings
        .iter()
        .map(|Finding { kind, what, .. }| format!("{kind}: {what}\n  {}\n", kind.advice()))
        .collect();
    expect![[r#"
        head_count_too_low: namespace `` counts 1 puts, and has had 3
          repair: the count is raised
        checkpoint_unreadable: checkpoint `2`: channel `note` misses chunk 99f0d60e4c3920c89c6116efa6614df5
          restore the thread from a backup, or go on from a checkpoint that can be read
    "#]]
    .assert_eq(&texts.concat());
    let second = findings.last().unwrap();
    assert_eq!(second.checkpoint_id.as_ref().unwrap().as_str(), "2");
}

#[tokio::test]
async fn a_thread_whose_row_was_made_again_goes_on() {
    let stored = Stored::new().await;
    let third = make(&stored.checkpointer, "damaged").await;
    stored
        .damage("DELETE FROM {schema}.threads WHERE thread_id = 'damaged'")
        .await;
    let by_another = checkpointer(&stored.test, &[]).await;
    let read = by_another.get_tuple(GetTuple::at(&third)).await.unwrap();
    assert_eq!(read, None);
    stored.verify(true).await;
    let read = by_another.get_tuple(GetTuple::at(&third)).await.unwrap();
    assert_eq!(read.unwrap().pending_writes.len(), 3);
    let next = Step::after(&third).values(json!({ "messages": large(2) }));
    let next = next.put(&stored.checkpointer).await;
    let head = head(&by_another, &thread("damaged")).await;
    assert_eq!(head, Some(next.checkpoint_id));
    assert_eq!(stored.kinds(false).await, []);
}

#[tokio::test]
async fn what_only_names_a_thread_is_removed() {
    let stored = Stored::new().await;
    make(&stored.checkpointer, "damaged").await;
    for table in ["threads", "checkpoints", "pending_writes"] {
        let sql = format!("DELETE FROM {{schema}}.{table} WHERE thread_id = 'damaged'");
        stored.damage(&sql).await;
    }
    stored
        .damage("INSERT INTO {schema}.unswept (thread_id) VALUES ('ghost')")
        .await;
    assert_eq!(stored.kinds(false).await, [ThreadMissing]);
    assert_eq!(
        stored.kinds(true).await,
        [ThreadMissing, RowsOfDeletedThread]
    );
    assert_eq!(stored.kinds(false).await, []);
    // No call has seen them, so a first checkpoint begins anew.
    make(&stored.checkpointer, "damaged").await;
    assert_eq!(stored.kinds(false).await, []);
}

#[tokio::test]
async fn chunks_that_nothing_needs_are_no_damage_and_are_removed() {
    let stored = Stored::new().await;
    let third = make(&stored.checkpointer, "damaged").await;
    let again = Step::first(&thread("damaged"))
        .id("2")
        .parent(third.checkpoint_id);
    let again = again.values(json!({ "n": 2, "messages": large(80) }));
    again.without_generation().put(&stored.checkpointer).await;
    let before = size(&stored).await;
    // A removal may be about to sweep them.
    assert_eq!(stored.kinds(true).await, []);
    assert_eq!(size(&stored).await, before);
    stored.damage(CUT_SHORT).await;
    let findings = stored.verify(false).await;
    assert_eq!(kinds(&findings), [ChunksUnneeded]);
    assert!(!ChunksUnneeded.is_damage());
    assert_eq!(size(&stored).await, before);
    stored.verify(true).await;
    assert!(size(&stored).await < before);
    assert_eq!(stored.kinds(false).await, []);
    assert_eq!(stored.unswept().await, 0);
}

/// Lets a removal be one that was cut short.
const CUT_SHORT: &str = "UPDATE {schema}.unswept SET removed_at = removed_at - interval '61 s'
    WHERE thread_id = 'damaged'";

/// What a removal has left that was cut short, of a thread that is deleted or isn't, takes room, and a program
/// may have no retention worker.
#[tokio::test]
async fn a_repair_goes_on_with_a_removal_that_was_cut_short() {
    let stored = Stored::new().await;
    make(&stored.checkpointer, "damaged").await;
    for deleted in [false, true] {
        if deleted {
            let delete = DeleteThread::new("damaged").unwrap();
            stored.checkpointer.delete_thread(delete).await.unwrap();
        }
        stored
            .damage("INSERT INTO {schema}.unswept (thread_id) VALUES ('damaged')")
            .await;
        stored
            .damage(
                "INSERT INTO {schema}.chunks (thread_id, hash, content)
                VALUES ('damaged', decode(repeat('11', 16), 'hex'), '[]')",
            )
            .await;
        if !deleted {
            // Only the note shows it.
            stored
                .damage("DELETE FROM {schema}.chunks WHERE hash = decode(repeat('11', 16), 'hex')")
                .await;
        }
        assert_eq!(stored.kinds(true).await, []);
        assert_eq!(stored.unswept().await, 1);
        stored.damage(CUT_SHORT).await;
        assert_eq!(stored.kinds(false).await, []);
        assert_eq!(stored.unswept().await, 1);
        assert_eq!(stored.kinds(true).await, []);
        assert_eq!(stored.unswept().await, 0);
    }
    assert_eq!(rows(&stored.test, &thread("damaged")).await, [0; 4]);
}

/// A repair says what it has come to: that it failed, and what is left after it.
#[tokio::test]
async fn a_repair_of_a_deletion_that_was_cut_short_is_reported() {
    let stored = Stored::new().await;
    make(&stored.checkpointer, "damaged").await;
    let delete = DeleteThread::new("damaged").unwrap();
    stored.checkpointer.delete_thread(delete).await.unwrap();
    let schema = stored.test.schema();
    let refuse = format!(
        "INSERT INTO {schema}.unswept VALUES ('damaged', now() - interval '61 s');
        INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
        VALUES ('damaged', '', '1', 1, now());
        CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''not now''; END';
        CREATE TRIGGER refuse BEFORE DELETE ON {schema}.unswept
        FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()"
    );
    stored.client.batch_execute(&refuse).await.unwrap();
    let repair = || {
        let repair = Verify::thread("damaged").unwrap().repair(true);
        let repaired = stored.checkpointer.verify(repair);
        repaired.try_collect::<Vec<VerifiedThread>>()
    };
    let refused = repair().await.unwrap_err();
    assert!(matches!(refused, Error::Database { .. }), "{refused:?}");
    let allow = format!("DROP FUNCTION {schema}.refuse CASCADE");
    stored.client.batch_execute(&allow).await.unwrap();
    stored.damage(CUT_SHORT).await;
    let repaired = repair().await.unwrap();
    assert_eq!(kinds(&repaired[0].findings), [RowsOfDeletedThread]);
    assert!(repaired[0].is_sound());
    assert_eq!(stored.kinds(false).await, []);

    // Nothing can be swept, since it can't be read what is needed.
    let unreadable = format!(
        "INSERT INTO {schema}.unswept VALUES ('damaged', now() - interval '61 s');
        INSERT INTO {schema}.pending_writes
            (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
        VALUES ('damaged', '', '1', 'task', 0, '', 'done', '{{\"k\": \"a\"}}')"
    );
    stored.client.batch_execute(&unreadable).await.unwrap();
    let repaired = repair().await.unwrap();
    assert_eq!(kinds(&repaired[0].findings), [RowsOfDeletedThread]);
    assert!(repaired[0].is_sound());
    assert_eq!(stored.kinds(false).await, []);
    assert_eq!(rows(&stored.test, &thread("damaged")).await, [0; 4]);
}

/// A step of a sweep removes a chunk that nothing needs, and a later one the chunk above it.
#[tokio::test]
async fn a_sweep_that_was_cut_short_leaves_no_damage() {
    let stored = Stored::new().await;
    make(&stored.checkpointer, "damaged").await;
    for damage in [
        "DELETE FROM {schema}.chunks WHERE thread_id = 'damaged' AND hash = (
            SELECT below.hash FROM {schema}.checkpoints AS c,
                {schema}.top_chunks(c.channels -> 'many') AS top,
                {schema}.chunks AS node, {schema}.unpacked(node.refs) AS below
            WHERE c.thread_id = 'damaged' AND c.checkpoint_id = '1'
              AND node.thread_id = 'damaged' AND node.hash = top.hash LIMIT 1)",
        "UPDATE {schema}.checkpoints SET channels = channels - 'many'
            WHERE thread_id = 'damaged' AND checkpoint_id = '1'",
        "INSERT INTO {schema}.unswept (thread_id) VALUES ('damaged')",
    ] {
        stored.damage(damage).await;
    }
    assert_eq!(stored.verify(false).await, []);
    stored.damage("DELETE FROM {schema}.unswept").await;
    assert_eq!(stored.kinds(false).await, [ChunksUnneeded]);
    stored.verify(true).await;
    assert_eq!(stored.kinds(false).await, []);
}

/// Only the findings that are kept show what they are, and each namespace is one.
#[tokio::test]
async fn more_findings_than_are_kept_are_all_repaired() {
    let stored = Stored::new().await;
    make(&stored.checkpointer, "damaged").await;
    for damage in [
        "INSERT INTO {schema}.checkpoints (thread_id, checkpoint_ns, checkpoint_id, seq, checkpoint,
            channels, metadata, put_at)
        SELECT thread_id, 'sub:' || n, checkpoint_id, 1, checkpoint, '{}', metadata, put_at
        FROM {schema}.checkpoints, generate_series(1, 1500) AS n
        WHERE thread_id = 'damaged' AND checkpoint_id = '3'",
        "UPDATE {schema}.checkpoints SET channels = '{}'
        WHERE thread_id = 'damaged' AND checkpoint_id = '2'",
    ] {
        stored.damage(damage).await;
    }
    let verify = async |repair| {
        let verify = Verify::thread("damaged").unwrap().repair(repair);
        let verified = stored.checkpointer.verify(verify);
        let verified: Vec<VerifiedThread> = verified.try_collect().await.unwrap();
        verified.into_iter().next().unwrap()
    };
    let found = verify(false).await;
    assert_eq!(
        (found.findings.len(), found.further, found.further_damage),
        (1_000, 501, 500)
    );
    assert!(!found.is_sound());

    let before = size(&stored).await;
    let repaired = verify(true).await;
    assert!(repaired.findings.iter().all(|finding| finding.repaired));
    assert_eq!((repaired.further, repaired.further_damage), (501, 0));
    assert!(repaired.is_sound());
    assert!(size(&stored).await < before);
    assert_eq!(stored.kinds(false).await, []);
}

async fn size(stored: &Stored) -> u64 {
    let size = stored.checkpointer.thread_size(&thread("damaged")).await;
    size.unwrap().unwrap().chunks
}

#[tokio::test]
async fn a_thread_of_several_pages_is_read_to_its_end() {
    let stored = Stored::new().await;
    let item = |n: usize| json!({ "n": n, "text": format!("item {n}, ").repeat(20) });
    let items: Vec<Value> = (0..12_000).map(item).collect();
    let step = Step::first(&thread("damaged")).values(json!({ "items": items }));
    let mut last = step.put(&stored.checkpointer).await;
    for n in 0..3 {
        let step = Step::after(&last).values(json!({ "items": items, "n": n }));
        last = step.put(&stored.checkpointer).await;
    }
    let verify = || {
        stored
            .checkpointer
            .verify(Verify::thread("damaged").unwrap())
    };
    let found: Vec<VerifiedThread> = verify().try_collect().await.unwrap();
    assert!(found[0].chunks > 1_000, "{found:?}");
    assert_eq!(found[0].findings, []);
    stored
        .damage(
            "UPDATE {schema}.chunks SET content = '[]' WHERE thread_id = 'damaged'
             AND hash = (SELECT hash FROM {schema}.chunks WHERE thread_id = 'damaged'
                 AND content IS NOT NULL ORDER BY hash DESC LIMIT 1)",
        )
        .await;
    let found: Vec<VerifiedThread> = verify().try_collect().await.unwrap();
    let damaged = |kind| {
        found[0]
            .findings
            .iter()
            .filter(|found| found.kind == kind)
            .count()
    };
    assert_eq!(
        (damaged(ChunkDamaged), damaged(CheckpointUnreadable)),
        (1, 4)
    );
}

/// Puts steps one after the other, each after the head, until it is told to stop.
async fn write(checkpointer: PostgresCheckpointer, name: String, stop: Arc<AtomicBool>) {
    let thread_id = thread(&name);
    let mut last: Option<CheckpointAddress> = None;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let step = match &last {
            Some(last) => Step::after(last).expect_head(last),
            None => Step::first(&thread_id),
        };
        let step = step.values(json!({ "messages": large(n % 7), "of": [large(n)], "n": n }));
        // Another one deletes the thread now and then.
        last = step.try_put(&checkpointer).await.ok();
        if let Some(last) = &last {
            let _ = try_write(&checkpointer, last, "task", &large(n % 5)).await;
        }
    }
}

/// Prunes, copies and deletes threads.
async fn remove(checkpointer: PostgresCheckpointer, names: Vec<String>, stop: Arc<AtomicBool>) {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let thread_id = thread(&names[n % names.len()]);
        match n % 5 {
            0 => {
                let copy = thread(&format!("copy {}", n % 4));
                let _ = checkpointer.copy_thread(&thread_id, &copy).await;
            }
            1 => {
                let delete = DeleteThread::new(&thread_id).unwrap();
                let _ = checkpointer.delete_thread(delete).await;
            }
            _ => {
                let keep = PruneStrategy::Keep(Retention::keep_last(3));
                let prune = Prune::new([&thread_id], keep).unwrap();
                let _ = checkpointer.prune(prune).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_at_work_has_no_findings() {
    let (test, [one, other]) = two().await;
    let verifier = checkpointer(&test, &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let names: Vec<String> = (0..3).map(|n| format!("thread {n}")).collect();
    let writers = names
        .iter()
        .map(|name| tokio::spawn(write(one.clone(), name.clone(), Arc::clone(&stop))));
    let mut work: Vec<_> = writers.collect();
    work.push(tokio::spawn(remove(other, names, Arc::clone(&stop))));
    let (mut round, mut seen) = (0, 0);
    while round < 6 || seen == 0 {
        round += 1;
        let verify = Verify::all().repair(round % 2 == 1);
        let verified: Vec<VerifiedThread> = verifier.verify(verify).try_collect().await.unwrap();
        for thread in &verified {
            assert_eq!(thread.findings, [], "{}", thread.thread_id);
            seen += thread.checkpoints;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for done in join_all(work).await {
        done.unwrap();
    }
}

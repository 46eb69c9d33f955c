//! Processes that want the same head at the same moment, and whose clocks disagree.

use checkpointer::{CheckpointId, PostgresCheckpointer};
use db::Database;
use serde_json::json;
use tokio::process::Command;

use super::step::{Step, checkpointer, head, ids, thread, two};
use rig::TestDb;

/// Tells a process of the race from the test itself, and in which schema it races.
const RACER: &str = "TEST_RACER_SCHEMA";

const THREAD: &str = "race";

#[tokio::test]
async fn of_two_processes_that_save_on_one_head_at_most_one_wins() {
    if let Ok(schema) = std::env::var(RACER) {
        return racer(&schema).await;
    }
    const ROUNDS: usize = 500;
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let command = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "checkpointer::races::of_two_processes_that_save_on_one_head_at_most_one_wins",
            ])
            .env(RACER, test.schema());
        command
    };
    let racers = vec![command(), command()];
    let thread_id = thread(THREAD);
    let race = rig::race(&checkpointer, &thread_id, racers, ROUNDS);
    let race = race.await.unwrap();
    assert_eq!(race.violations, [""; 0]);
    // Nothing is lost either: without faults one of them wins each round.
    assert_eq!(race.unwon, 0);
    assert_eq!(race.won.iter().sum::<usize>(), ROUNDS);
}

/// One of the two.
async fn racer(schema: &str) {
    let test = TestDb::without_schema().await;
    let settings = test.settings(&[("DB_SCHEMA", schema)]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let raced = rig::race_along(&checkpointer, &thread(THREAD)).await;
    raced.unwrap();
}

/// An id as a process makes it whose clock is off by so many hours.
fn id_by_a_clock_off_by(hours: i64) -> CheckpointId {
    let id = CheckpointId::generate(None);
    let id = id.as_str();
    // The greater 48 of the time's 60 bits, of 100 ns each, are the UUID's first two groups.
    let digits = format!("{}{}", &id[..8], &id[9..13]);
    let time = i64::from_str_radix(&digits, 16).unwrap() + hours * ((3600 * 10_000_000) >> 12);
    let digits = format!("{time:012x}");
    let id = format!("{}-{}{}", &digits[..8], &digits[8..], &id[13..]);
    CheckpointId::new(id).unwrap()
}

#[tokio::test]
async fn the_latest_is_the_one_put_last_though_two_clocks_are_an_hour_apart() {
    let (_test, [ahead, behind]) = two().await;
    let thread_id = thread("an hour apart");
    let mut last = Step::first(&thread_id)
        .id(id_by_a_clock_off_by(1).as_str())
        .put(&ahead)
        .await;
    for round in 0..20 {
        // What a runtime makes that takes its ids from its own clock.
        let (checkpointer, hours) = match round % 2 {
            0 => (&behind, 0),
            _ => (&ahead, 1),
        };
        let by_clock = Step::after(&last).id(id_by_a_clock_off_by(hours).as_str());
        last = by_clock.put(checkpointer).await;
        // What is made here, by either: always after its parent.
        let child = Step::after(&last).expect_head(&last);
        assert!(child.checkpoint.id > last.checkpoint_id);
        last = child.put([&ahead, &behind][round / 2 % 2]).await;
        for checkpointer in [&ahead, &behind] {
            let latest = head(checkpointer, &thread_id).await;
            assert_eq!(latest.as_ref(), Some(&last.checkpoint_id));
        }
    }
    assert_eq!(ids(&ahead, &thread_id).await.len(), 41);
}

#[tokio::test]
async fn a_typed_thread_goes_on_after_a_clock_that_was_ahead() {
    let (_test, [ahead, behind]) = two().await;
    let thread_id = thread("typed, an hour ahead");
    let first = Step::first(&thread_id)
        .id(id_by_a_clock_off_by(1).as_str())
        .values(json!({ "__root__": 1 }))
        .put(&ahead)
        .await;
    let mut thread = behind.thread::<u64>(thread_id.as_str()).unwrap();
    for _ in 0..5 {
        thread.update(|count| *count += 1).await.unwrap();
    }
    let listed = ids(&ahead, &thread_id).await;
    assert_eq!(listed.len(), 6);
    // By id as by the order of the saves: the first put is the smallest.
    assert_eq!(listed.last(), Some(&first.checkpoint_id));
    assert_eq!(listed.first(), thread.checkpoint_id());
    assert_eq!(thread.load().await.unwrap(), Some(6));
}

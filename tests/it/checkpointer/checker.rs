//! What checks the long runs sees what it is there to see.

use std::sync::Mutex;

use checkpointer::{Checkpointer, DeleteThread};
use rig::{Agent, Checker, Event, Ledger, Plan};

use rig::TestDb;

/// Something that must not happen, done by SQL to the agent's thread.
const DAMAGE: [(&str, &str); 8] = [
    (
        "a checkpoint that was acknowledged is gone",
        "DELETE FROM {schema}.checkpoints WHERE metadata @> '{\"number\": 5}'",
    ),
    (
        "the head is an older one",
        "UPDATE {schema}.heads SET checkpoint_id = (SELECT checkpoint_id FROM {schema}.checkpoints
         WHERE thread_id = heads.thread_id AND metadata @> '{\"number\": 5}')",
    ),
    (
        "an output that was acknowledged is gone",
        "DELETE FROM {schema}.pending_writes WHERE task_id = '3-0'",
    ),
    (
        "a task ran again after its output was taken over",
        "UPDATE {schema}.pending_writes SET value = jsonb_set(value, '{0,attempt}', '0')
         WHERE task_id = '3-0' AND channel = 'messages'",
    ),
    (
        "a small value was changed",
        "UPDATE {schema}.checkpoints SET channels = jsonb_set(channels, '{summary}', '[\"?\"]')
         WHERE metadata @> '{\"number\": 4}'",
    ),
    (
        "a chunk is gone",
        "DELETE FROM {schema}.chunks WHERE ctid = (SELECT min(ctid) FROM {schema}.chunks)",
    ),
    (
        "nothing refers to a chunk",
        "INSERT INTO {schema}.chunks (thread_id, hash, content)
         SELECT DISTINCT thread_id, '\\x00'::bytea, '[]'::jsonb FROM {schema}.heads",
    ),
    (
        "the thread is gone, and its rows are not",
        "UPDATE {schema}.threads SET deleted_at = now()",
    ),
];

#[tokio::test]
async fn the_checker_finds_any_damage_and_nothing_else() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[]).await;
    let checker = Checker::setup(database).await.unwrap();
    let ledger = Mutex::new(Ledger::default());
    for (agent, (what, damage)) in (0..).zip(DAMAGE) {
        let (seed, steps) = (4, 8);
        let plan = Plan { seed, agent, steps };
        let agent = Agent::new(plan, checker.checkpointer().clone(), |fact| {
            ledger.lock().unwrap().note(fact);
        });
        agent.run(false).await;
        let life = ledger.lock().unwrap().life(plan.agent);
        assert!(life.is_finished());
        let check = async || {
            let mut found = checker.agent(&plan, &life).await.unwrap();
            found.extend(checker.tables().await.unwrap());
            found.extend(checker.waste(&[(plan, life.clone())]).await.unwrap());
            found
        };
        assert_eq!(check().await, [""; 0]);
        let damage = damage.replace("{schema}", test.schema());
        let changed = test.observer().await.execute(&damage, &[]).await.unwrap();
        assert!(changed > 0, "{what}");
        assert_ne!(check().await, [""; 0], "not found: {what}");
        let delete = DeleteThread::new(plan.thread_id().unwrap()).unwrap();
        checker.checkpointer().delete_thread(delete).await.unwrap();
    }
}

#[test]
fn a_task_that_is_run_after_its_output_was_recorded_is_a_violation() {
    let mut ledger = Ledger::default();
    let mut note = |event| ledger.note(rig::Fact { agent: 1, event });
    let begun = Event::Begun {
        number: 3,
        task: 0,
        attempt: 1,
    };
    // Twice, as after a crash.
    note(begun.clone());
    note(begun.clone());
    note(Event::Recorded {
        number: 3,
        task: 0,
        attempt: 1,
    });
    assert_eq!(ledger.take_violations(), [""; 0]);
    ledger.note(rig::Fact {
        agent: 1,
        event: begun,
    });
    assert_eq!(
        ledger.take_violations(),
        ["agent 1: task 0 of step 3 ran again although its output was recorded"]
    );
}

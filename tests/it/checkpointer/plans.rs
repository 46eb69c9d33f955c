//! The plans that PostgreSQL makes of the statements.

use std::time::{Duration, UNIX_EPOCH};

use checkpointer::{
    Checkpointer as _, DeleteThread, GetChannelHistory, GetTuple, List, ListThreads,
    PostgresCheckpointer, Prune, PruneStrategy, Retention, Verify,
};
use db::{GenericClient, Statement};
use expect_test::expect;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use super::step::{Step, get, large, map, thread, try_write};
use rig::TestDb;

/// The server makes a plan for the parameters at hand five times, and then decides whether one for
/// any parameters serves as well.
static PLANS: Statement = Statement::new(
    "SELECT split_part(statement, chr(10), 1), generic_plans > 0, custom_plans > 5
    FROM pg_prepared_statements
    WHERE generic_plans + custom_plans > 5 AND statement LIKE '-- checkpointer::%' ORDER BY 1",
    &[],
);

#[tokio::test]
async fn no_call_is_planned_each_time() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let mut last = Step::first(&thread("known")).put(&checkpointer).await;
    let mut messages: Vec<Value> = Vec::new();
    // The list has none, one and many chunks in turn.
    for step in 0..40 {
        messages.push(json!({ "step": step, "text": "What is it that grows? ".repeat(step) }));
        let written = try_write(&checkpointer, &last, "task", &json!([step])).await;
        written.unwrap();
        let next = Step::after(&last).values(json!({ "messages": messages }));
        last = next.put(&checkpointer).await;
        get(&checkpointer, &last).await;
        let history = GetChannelHistory::new(GetTuple::at(&last), ["messages"]).unwrap();
        checkpointer.channel_history(history).await.unwrap();
    }
    let rows = database.get().await.unwrap().query(&PLANS, &[]).await;
    let mut plans = String::new();
    for row in rows.unwrap() {
        let (statement, generic, custom): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
        plans.push_str(&format!(
            "{statement}: generic {generic}, custom {custom}\n"
        ));
    }
    expect![[r#"
        -- checkpointer::channel_history: generic true, custom false
        -- checkpointer::get_tuple: generic true, custom false
        -- checkpointer::put: generic true, custom false
        -- checkpointer::put_writes: generic true, custom false
    "#]]
    .assert_eq(&plans);
}

/// Makes the planner take every table for one of a billion rows.
const LIES: &str = "
    DO $$
    DECLARE relation regclass;
    BEGIN
        FOR relation IN SELECT oid FROM pg_class
            WHERE relnamespace = '{schema}'::regnamespace AND relkind = 'r'
        LOOP
            EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', relation);
            UPDATE pg_class SET reltuples = 1e9, relpages = 1 WHERE oid = relation;
        END LOOP;
    END $$";

/// The statements that read, with the types of their parameters and a null for each.
static READS: Statement = Statement::new(
    "SELECT split_part(statement, chr(10), 1), statement,
        array_to_string(parameter_types, ', '),
        array_to_string(array_fill('NULL'::text, ARRAY[cardinality(parameter_types)]), ', ')
    FROM pg_prepared_statements
    WHERE split_part(statement, chr(10), 1) = ANY (ARRAY['-- checkpointer::get_tuple',
        '-- checkpointer::list', '-- checkpointer::threads', '-- checkpointer::threads_of_runs',
        '-- checkpointer::due_threads', '-- checkpointer::judge_thread', '-- checkpointer::nodes',
        '-- checkpointer::stands', '-- checkpointer::channel_history'])
    ORDER BY 1, 2",
    &[],
);

#[tokio::test]
async fn nothing_reads_a_whole_table_because_the_planner_expects_many_rows() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let first = Step::first(&thread("known")).values(json!({ "messages": large(1) }));
    let first = first.put(&checkpointer).await;
    let written = try_write(&checkpointer, &first, "task", &large(2)).await;
    written.unwrap();
    let lies = LIES.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&lies).await.unwrap();
    get(&checkpointer, &first).await;
    let before = List::all().before(first.checkpoint_id.clone());
    for list in [List::all(), List::all().limit(3), before] {
        let listed: Vec<_> = checkpointer.list(list).try_collect().await.unwrap();
        assert!(listed.len() <= 1);
    }
    let history = GetChannelHistory::new(GetTuple::at(&first), ["messages"]).unwrap();
    checkpointer.channel_history(history).await.unwrap();
    let all = ListThreads::all();
    let filtered = all.clone().filter(map(json!({ "user": "ann" })));
    let state = map(json!({ "messages": [] }));
    for list in [
        all.clone(),
        all.clone().oldest_first().changed_after(UNIX_EPOCH),
        all.clone().state_contains(state),
        filtered,
    ] {
        let listed: Vec<_> = checkpointer.threads(list).try_collect().await.unwrap();
        assert!(listed.len() <= 1);
    }
    let runs = ["run".to_owned()];
    let removed = checkpointer.delete_for_runs(&runs).await.unwrap();
    removed.complete().unwrap();
    Step::after(&first).put(&checkpointer).await;
    let due = Prune::due(Retention::keep_last(1).delete_after(Duration::MAX));
    let removed = checkpointer.prune(due).await.unwrap();
    assert_eq!(removed.checkpoints, 1);

    let connection = database.get().await.unwrap();
    let reads = connection.query(&READS, &[]).await.unwrap();
    assert_eq!(reads.len(), 13);
    let planner = test.observer().await;
    let generic = "SET plan_cache_mode = force_generic_plan; SET jit = off";
    planner.batch_execute(generic).await.unwrap();
    for read in reads {
        let (name, sql, types, nulls): (&str, &str, &str, &str) =
            (read.get(0), read.get(1), read.get(2), read.get(3));
        let prepare = format!("PREPARE read ({types}) AS {sql}");
        planner.batch_execute(&prepare).await.unwrap();
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE read ({nulls})");
        let plan = planner.query(&explain, &[]).await.unwrap();
        let plan: Vec<&str> = plan.iter().map(|row| row.get(0)).collect();
        let is_by_key = joins_by_key(&plan);
        let plan = plan.join("\n");
        assert!(is_by_key, "{name}\n{sql}\n{plan}");
        for table in [
            "threads",
            "heads",
            "checkpoints",
            "chunks",
            "pending_writes",
        ] {
            let scan = format!("Seq Scan on {table} ");
            assert!(!plan.contains(&scan), "{name}\n{sql}\n{plan}");
        }
        planner.batch_execute("DEALLOCATE read").await.unwrap();
    }
}

/// Whether a plan reads no side of a join whole. A nested loop looks up by key; any other join reads one
/// side whole, and so does a nested loop with a filter. Only CTEs, which the statement has read before,
/// may be filtered.
fn joins_by_key(plan: &[&str]) -> bool {
    (0..).zip(plan).all(|(at, line)| {
        if line.contains(" Join Filter: ") {
            let sides = plan[at + 1..].iter().take(2);
            return sides.filter(|side| side.contains("CTE Scan on ")).count() == 2;
        }
        !line.contains(" Join") || line.contains("Nested Loop")
    })
}

/// All statements that a connection has prepared.
static ALL: Statement = Statement::new(
    "SELECT split_part(statement, chr(10), 1), statement,
        array_to_string(parameter_types, ', '),
        array_to_string(array_fill('NULL'::text, ARRAY[cardinality(parameter_types)]), ', ')
    FROM pg_prepared_statements WHERE statement LIKE '-- checkpointer::%' ORDER BY 1, 2",
    &[],
);

/// A server compiles what it expects to take long (`jit_above_cost`), which takes longer than the statements here.
/// Behind a pooler nothing switches that off.
#[tokio::test]
async fn no_statement_is_compiled_in_a_small_database() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let values = |number| json!({ "nested": [large(number), large(number + 1)] });
    let first = Step::first(&thread("known")).values(values(1));
    let first = first.put(&checkpointer).await;
    let written = try_write(&checkpointer, &first, "task", &large(2)).await;
    written.unwrap();
    let last = Step::after(&first)
        .values(values(2))
        .put(&checkpointer)
        .await;
    get(&checkpointer, &last).await;
    let listed: Vec<_> = checkpointer.list(List::all()).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    let history = GetChannelHistory::new(GetTuple::at(&last), ["nested"]).unwrap();
    checkpointer.channel_history(history).await.unwrap();
    let listed: Vec<_> = checkpointer
        .threads(ListThreads::all())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    checkpointer.thread_size(&first.thread_id).await.unwrap();
    checkpointer
        .copy_thread(&first.thread_id, &thread("copy"))
        .await
        .unwrap();
    for dry_run in [true, false] {
        let keep = PruneStrategy::Keep(Retention::keep_last(1));
        let prune = Prune::new([&first.thread_id], keep)
            .unwrap()
            .dry_run(dry_run);
        let removed = checkpointer.prune(prune).await.unwrap();
        assert_eq!((removed.checkpoints, removed.failed.len()), (1, 0));
    }
    let due = Prune::due(Retention::keep_last(1).delete_after(Duration::MAX));
    let removed = checkpointer.prune(due).await.unwrap();
    removed.complete().unwrap();
    let verified: Vec<_> = checkpointer
        .verify(Verify::all().repair(true))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(verified.len(), 2);
    let damage = format!("DELETE FROM {}.chunks WHERE refs IS NULL", test.schema());
    test.observer().await.batch_execute(&damage).await.unwrap();
    let verified: Vec<_> = checkpointer
        .verify(Verify::all())
        .try_collect()
        .await
        .unwrap();
    assert!(verified.iter().any(|thread| !thread.is_sound()));
    let delete = DeleteThread::new(&first.thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();

    let connection = database.get().await.unwrap();
    let statements = connection.query(&ALL, &[]).await.unwrap();
    assert!(statements.len() > 30, "{}", statements.len());
    let planner = test.observer().await;
    let generic = "SET plan_cache_mode = force_generic_plan; SET jit = off";
    planner.batch_execute(generic).await.unwrap();
    let mut dear = Vec::new();
    for statement in statements {
        let (name, sql, types, nulls): (&str, &str, &str, &str) = (
            statement.get(0),
            statement.get(1),
            statement.get(2),
            statement.get(3),
        );
        let in_brackets = |list: &str| match list {
            "" => String::new(),
            _ => format!("({list})"),
        };
        let prepare = format!("PREPARE statement {} AS {sql}", in_brackets(types));
        planner.batch_execute(&prepare).await.unwrap();
        let explain = format!("EXPLAIN EXECUTE statement {}", in_brackets(nulls));
        let plan = planner.query(&explain, &[]).await.unwrap();
        let top: &str = plan[0].get(0);
        let cost = top.split("..").nth(1).unwrap().split(' ').next().unwrap();
        let cost: f64 = cost.parse().unwrap();
        if cost > 100_000.0 {
            dear.push((name.to_owned(), cost));
        }
        planner.batch_execute("DEALLOCATE statement").await.unwrap();
    }
    assert_eq!(dear, []);
}

//! Makes the threads that `docs/inspector.md` looks into, in the database that the environment names.
//!
//! ```text
//! DATABASE_URL=postgres://… DB_SCHEMA=inspector_demo cargo run -p inspector --example support
//! ```

use std::time::Duration;

use checkpointer::channels::{ERROR, INTERRUPT};
use checkpointer::serde_json::{Value, json};
use checkpointer::{
    Checkpoint, CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer, Metadata,
    PostgresCheckpointer, Put, PutWrites, Result, Source, TaskId, ThreadId,
};
use settings::Settings;

/// What an answer was, and what it became.
const ANSWERS: [&str; 2] = [
    "Your order was sent on Monday, by mail. It needs two days, and costs nothing.",
    "Your order was sent on Tuesday, by mail. It needs two days, and costs nothing.",
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    waits(&checkpointer).await?;
    stuck(&checkpointer).await?;
    answers_wrongly(&checkpointer).await?;
    runs_twice(&checkpointer).await?;
    is_large(&checkpointer).await?;
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}

/// A task of a subgraph's caller asks a person.
async fn waits(on: &dyn Checkpointer) -> Result<()> {
    let thread = ThreadId::new("support-4711")?;
    let root = CheckpointNs::ROOT;
    let question = json!({ "messages": [{ "id": "m1", "text": "My order 77 is broken." }] });
    let input = step(on, &thread, &root, None, -1, "1.8.2", question).await?;
    let planned = step(
        on,
        &thread,
        &root,
        Some(&input),
        0,
        "1.8.2",
        json!({ "plan": "refund" }),
    )
    .await?;
    let research = CheckpointNs::new("research:look-up")?;
    let found = step(
        on,
        &thread,
        &research,
        Some(&planned),
        0,
        "1.8.2",
        json!({ "order": 77 }),
    )
    .await?;
    step(
        on,
        &thread,
        &research,
        Some(&found),
        1,
        "1.8.2",
        json!({ "price": 129.5 }),
    )
    .await?;
    let amount = json!({ "amount": 129.5 });
    let head = step(on, &thread, &root, Some(&planned), 1, "1.8.2", amount).await?;
    let ask = json!([{ "value": "Refund 129.50 for order 77?", "id": "q1" }]);
    write(on, &head, "approve", INTERRUPT, ask).await?;
    let metadata = json!({ "customer": "ann", "team": "billing" });
    on.set_thread_metadata(&thread, metadata.as_object().cloned().unwrap_or_default())
        .await
}

/// One of two tasks has failed, and the run didn't go on.
async fn stuck(on: &dyn Checkpointer) -> Result<()> {
    let thread = ThreadId::new("support-4712")?;
    let root = CheckpointNs::ROOT;
    let question = json!({ "messages": [{ "id": "m1", "text": "Where is my order?" }] });
    let head = step(on, &thread, &root, None, -1, "1.8.2", question).await?;
    write(on, &head, "greet", "greeting", json!("Dear Ben")).await?;
    let error = json!("TimeoutError: the warehouse didn't answer within 30 s");
    write(on, &head, "warehouse", ERROR, error).await
}

/// An answer is changed for a worse one by a later release.
async fn answers_wrongly(on: &dyn Checkpointer) -> Result<()> {
    let thread = ThreadId::new("support-4713")?;
    let root = CheckpointNs::ROOT;
    let messages = |answer: &str| {
        let question = json!({ "id": "m1", "text": "When was my order sent?" });
        json!({ "messages": [question, { "id": "m2", "text": answer }] })
    };
    let first = step(
        on,
        &thread,
        &root,
        None,
        -1,
        "1.8.2",
        json!({ "order": 78 }),
    )
    .await?;
    let second = step(
        on,
        &thread,
        &root,
        Some(&first),
        0,
        "1.8.2",
        messages(ANSWERS[0]),
    )
    .await?;
    step(
        on,
        &thread,
        &root,
        Some(&second),
        1,
        "1.9.0",
        messages(ANSWERS[1]),
    )
    .await?;
    Ok(())
}

/// Two programs have run the same step.
async fn runs_twice(on: &dyn Checkpointer) -> Result<()> {
    let thread = ThreadId::new("support-4714")?;
    let root = CheckpointNs::ROOT;
    let first = step(
        on,
        &thread,
        &root,
        None,
        -1,
        "1.9.0",
        json!({ "order": 79 }),
    )
    .await?;
    for mail in ["sent at 08:00:01", "sent at 08:00:02"] {
        step(
            on,
            &thread,
            &root,
            Some(&first),
            0,
            "1.9.0",
            json!({ "mail": mail }),
        )
        .await?;
    }
    Ok(())
}

/// A state with a document that doesn't belong there.
async fn is_large(on: &dyn Checkpointer) -> Result<()> {
    let thread = ThreadId::new("report-9")?;
    let pages: Vec<_> = (0..4_000)
        .map(|page| json!({ "page": page, "text": "lorem ipsum ".repeat(20) }))
        .collect();
    let state = json!({ "scanned_pages": pages, "summary": "Four thousand pages." });
    step(on, &thread, &CheckpointNs::ROOT, None, -1, "1.9.0", state).await?;
    Ok(())
}

/// Puts a step after another one, or the first of a subgraph that was called from there.
async fn step(
    on: &dyn Checkpointer,
    thread: &ThreadId,
    checkpoint_ns: &CheckpointNs,
    after: Option<&CheckpointTuple>,
    number: i64,
    release: &str,
    values: Value,
) -> Result<CheckpointTuple> {
    let parent = after.filter(|after| after.address.checkpoint_ns == *checkpoint_ns);
    let mut checkpoint = match parent {
        Some(parent) => Checkpoint::child_of(parent),
        None => Checkpoint::new(CheckpointId::generate(None)),
    };
    let changed = checkpoint.write(on, values.as_object().cloned().unwrap_or_default());
    let source = if number < 0 {
        Source::Input
    } else {
        Source::Loop
    };
    let run = format!("run-{}", fastrand::u16(1_000..10_000));
    let mut metadata = Metadata::new(source, number)
        .with("run_id", run)
        .with("release", release);
    if let (None, Some(outer)) = (parent, after) {
        let id = outer.address.checkpoint_id.as_str();
        metadata = metadata.with("parents", json!({ "": id }));
    }
    let mut put = Put::new(thread, &checkpoint, &metadata).in_ns(checkpoint_ns);
    put.parent = parent.map(|parent| &parent.address.checkpoint_id);
    let address = on.put(put.new_versions(&changed)).await?;
    Ok(CheckpointTuple::new(address, checkpoint, metadata))
}

async fn write(
    on: &dyn Checkpointer,
    at: &CheckpointTuple,
    task: &str,
    channel: &str,
    value: Value,
) -> Result<()> {
    let task_id = TaskId::new(task)?;
    let writes = [(channel.to_owned(), value)];
    on.put_writes(PutWrites::new(&at.address, &task_id, &writes))
        .await
}

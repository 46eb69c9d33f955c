//! `export` and `Import`: a thread as lines of JSON.

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::fidelity::{assert_same, odd_values};
use super::step::{
    Step, delete, fresh_thread, get, head, list, map, pending, put_chain, try_write, write,
};
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, Error, Import, Imported, List, Result,
    ThreadId, channels, export,
};

/// The lines of a thread.
async fn lines(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Vec<String> {
    let lines = export(checkpointer, thread_id).unwrap();
    lines.try_collect().await.unwrap()
}

/// Imports lines under another id.
async fn try_import(
    checkpointer: &dyn Checkpointer,
    lines: &[String],
    target: &ThreadId,
) -> Result<Option<Imported>> {
    let mut import = Import::new(checkpointer).into_thread(target)?;
    let mut imported = None;
    for line in lines {
        imported = import.line(line).await?;
    }
    import.finish().await?;
    Ok(imported)
}

/// Exports a thread, and imports it under another id.
async fn moved(checkpointer: &dyn Checkpointer, source: &ThreadId) -> ThreadId {
    let target = fresh_thread();
    let lines = lines(checkpointer, source).await;
    let imported = try_import(checkpointer, &lines, &target).await.unwrap();
    assert_eq!(
        imported.map(|thread| thread.thread_id),
        Some(target.clone())
    );
    target
}

/// All checkpoints of a thread, as if they were of another.
async fn all_as(
    checkpointer: &dyn Checkpointer,
    of: &ThreadId,
    thread_id: &ThreadId,
) -> Vec<CheckpointTuple> {
    let mut all = list(checkpointer, List::thread(of).unwrap()).await;
    for tuple in &mut all {
        let parent = tuple.parent_address.iter_mut();
        for address in parent.chain([&mut tuple.address]) {
            thread_id.clone_into(&mut address.thread_id);
            address.generation = None;
        }
    }
    all
}

/// A thread with a list that grows, a fork, a subgraph and writes.
async fn thread(checkpointer: &dyn Checkpointer) -> (ThreadId, Vec<CheckpointAddress>) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).values(json!({ "messages": [1], "topic": "order" }));
    let first = first.put(checkpointer).await;
    let second = Step::after(&first).values(json!({ "messages": [1, 2], "topic": "order" }));
    let second = second.put(checkpointer).await;
    let fork = Step::after(&first).values(json!({ "messages": [3, 2, 1], "n": 1 }));
    let fork = fork
        .metadata("mine", json!({ "a": [1] }))
        .put(checkpointer)
        .await;
    let subgraph = Step::first(&thread_id)
        .in_ns("child:1")
        .values(json!({ "n": 1 }));
    let subgraph = subgraph.put(checkpointer).await;
    let mixed = json!([["a", 1], [channels::INTERRUPT, "ask"], ["b", { "c": 2 }]]);
    write(checkpointer, &second, "task-2", mixed).await;
    write(checkpointer, &second, "task-1", json!([["a", 3]])).await;
    (thread_id, vec![first, second, fork, subgraph])
}

/// All checkpoints, their parents and writes, and the thread's metadata are there.
pub async fn is_equal(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let metadata = map(json!({ "customer": "ann" }));
    let set = checkpointer.set_thread_metadata(&source, metadata.clone());
    set.await.unwrap();
    let target = moved(checkpointer, &source).await;
    let of_source = all_as(checkpointer, &source, &target).await;
    assert_eq!(all_as(checkpointer, &target, &target).await, of_source);
    assert_eq!(
        head(checkpointer, &target).await,
        head(checkpointer, &source).await
    );
    let imported = checkpointer.thread_info(&target).await.unwrap().unwrap();
    assert_eq!(imported.metadata, metadata);
}

/// The export of an imported thread is the same, but for the thread's id and times.
pub async fn exported_again_is_the_same(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let target = moved(checkpointer, &source).await;
    let of_source = lines(checkpointer, &source).await;
    assert_eq!(lines(checkpointer, &target).await[1..], of_source[1..]);
}

/// Values that are easily changed on the way are equal.
pub async fn preserves_values(checkpointer: &dyn Checkpointer) {
    let source = fresh_thread();
    let first = Step::first(&source).values(json!({ "a": odd_values() }));
    let first = first.put(checkpointer).await;
    let mut further = odd_values();
    further.extend(odd_values());
    let second = Step::after(&first).values(json!({ "a": further, "b": [0.0] }));
    let second = second.put(checkpointer).await;
    let third = Step::after(&second).values(json!({ "a": odd_values(), "b": [-0.0] }));
    let third = third.put(checkpointer).await;
    let target = moved(checkpointer, &source).await;
    for address in [first, second, third] {
        let stored = get(checkpointer, &address).await.checkpoint.channel_values;
        let address = CheckpointAddress::new(&target, &address.checkpoint_id).unwrap();
        let imported = get(checkpointer, &address).await.checkpoint.channel_values;
        for (channel, value) in &stored {
            assert_same(&imported[channel], value);
        }
        assert_eq!(imported.len(), stored.len());
    }
}

/// An import pins the checkpoints that were pinned, and no others.
pub async fn preserves_pins(checkpointer: &dyn Checkpointer) {
    let (source, made) = thread(checkpointer).await;
    for pinned in [&made[1], &made[3]] {
        checkpointer.set_pinned(pinned, true).await.unwrap();
    }
    let target = moved(checkpointer, &source).await;
    let all = all_as(checkpointer, &target, &target).await;
    let pinned = all.iter().filter(|tuple| tuple.pinned);
    assert_eq!(pinned.count(), 2);
    assert_eq!(all, all_as(checkpointer, &source, &target).await);
}

/// The head is the one that it was, though another checkpoint has a greater id.
pub async fn preserves_the_head(checkpointer: &dyn Checkpointer) {
    let source = fresh_thread();
    let last = Step::first(&source).id("2").put(checkpointer).await;
    Step::after(&last).id("1").put(checkpointer).await;
    let target = moved(checkpointer, &source).await;
    let head = head(checkpointer, &target).await;
    assert_eq!(head.map(|head| head.to_string()), Some("1".to_owned()));
}

/// The outputs of a task that runs again stay away, as in the thread that was exported.
pub async fn executed_again(checkpointer: &dyn Checkpointer) {
    let (source, made) = thread(checkpointer).await;
    let target = moved(checkpointer, &source).await;
    let second = CheckpointAddress::new(&target, &made[1].checkpoint_id).unwrap();
    let again = json!([
        ["a", 7],
        [channels::INTERRUPT, "ask again"],
        ["b", 8],
        ["c", 9]
    ]);
    write(checkpointer, &second, "task-2", again).await;
    let stored = pending(&get(checkpointer, &second).await);
    let expected = json!([
        ["task-1", "a", 3],
        ["task-2", channels::INTERRUPT, "ask again"],
        ["task-2", "a", 1],
        ["task-2", "b", { "c": 2 }],
    ]);
    assert_eq!(stored, expected);
}

/// The writes of one task may have several paths.
pub async fn keeps_paths(checkpointer: &dyn Checkpointer) {
    let source = fresh_thread();
    let first = Step::first(&source).put(checkpointer).await;
    for (path, writes) in [
        ("p", json!([[channels::INTERRUPT, "ask"]])),
        ("", json!([[channels::RESUME, [true]]])),
        ("q", json!([["a", 1], ["b", 2]])),
    ] {
        let written = try_write(checkpointer, &first, "task", path, writes).await;
        written.unwrap();
    }
    let target = moved(checkpointer, &source).await;
    let of_source = lines(checkpointer, &source).await;
    assert_eq!(lines(checkpointer, &target).await[1..], of_source[1..]);
    let at = CheckpointAddress::new(&target, &first.checkpoint_id).unwrap();
    let paths: Vec<_> = get(checkpointer, &at).await.pending_writes;
    let paths: Vec<_> = paths.iter().map(|write| &*write.task_path).collect();
    assert_eq!(paths, ["", "p", "q", "q"]);
}

/// A thread that was imported can be gone on with.
pub async fn goes_on(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let target = moved(checkpointer, &source).await;
    let last = head(checkpointer, &target).await.unwrap();
    let last = CheckpointAddress::new(&target, last).unwrap();
    let next = Step::after(&last)
        .expect_head(&last)
        .put(checkpointer)
        .await;
    assert_eq!(head(checkpointer, &target).await, Some(next.checkpoint_id));
}

/// What a prune has left can be moved.
pub async fn of_a_pruned_thread(checkpointer: &dyn Checkpointer) {
    let source = fresh_thread();
    put_chain(checkpointer, &source, 3).await;
    super::step::prune(checkpointer, &source).await;
    let target = moved(checkpointer, &source).await;
    let left = all_as(checkpointer, &source, &target).await;
    assert_eq!(all_as(checkpointer, &target, &target).await, left);
}

/// A thread that is there already stays as it is.
pub async fn onto_an_existing_one(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &source, 2).await;
    put_chain(checkpointer, &target, 1).await;
    let before = list(checkpointer, List::thread(&target).unwrap()).await;
    let lines = lines(checkpointer, &source).await;
    let refused = try_import(checkpointer, &lines, &target).await;
    assert!(
        matches!(refused, Err(Error::ThreadExists { .. })),
        "{refused:?}"
    );
    assert_eq!(
        list(checkpointer, List::thread(&target).unwrap()).await,
        before
    );
    // No lease is left behind.
    put_chain(checkpointer, &target, 1).await;
}

/// A thread that isn't there can't be exported.
pub async fn of_a_missing_thread(checkpointer: &dyn Checkpointer) {
    let lines = export(checkpointer, fresh_thread()).unwrap();
    let refused: Result<Vec<_>> = lines.try_collect().await;
    assert!(
        matches!(refused, Err(Error::ThreadNotFound { .. })),
        "{refused:?}"
    );
}

/// A thread that was deleted can be imported.
pub async fn after_a_deletion(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let lines = lines(checkpointer, &source).await;
    delete(checkpointer, &source).await;
    try_import(checkpointer, &lines, &source).await.unwrap();
    assert_eq!(self::lines(checkpointer, &source).await[1..], lines[1..]);
}

/// A line that is refused takes the part that was stored with it.
pub async fn a_bad_line_leaves_nothing(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let good = lines(checkpointer, &source).await;
    let target = fresh_thread();
    for (at, bad) in [
        (3, "{"),
        (3, r#"{"checkpoint":{}}"#),
        (3, good[0].as_str()),
        (good.len() - 1, r#"{"end":{"checkpoints":1,"writes":0}}"#),
    ] {
        let mut lines = good.clone();
        bad.clone_into(&mut lines[at]);
        let refused = try_import(checkpointer, &lines, &target).await;
        let line = at as u64 + 1;
        let is_told =
            matches!(refused, Err(Error::MalformedExport { line: told, .. }) if told == line);
        assert!(is_told, "{refused:?}");
        assert_eq!(checkpointer.thread_info(&target).await.unwrap(), None);
    }
    try_import(checkpointer, &good, &target).await.unwrap();
}

/// An export that ends early is refused, and leaves nothing.
pub async fn an_early_end_leaves_nothing(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let lines = lines(checkpointer, &source).await;
    let target = fresh_thread();
    let refused = try_import(checkpointer, &lines[..lines.len() - 1], &target).await;
    assert!(
        matches!(refused, Err(Error::MalformedExport { .. })),
        "{refused:?}"
    );
    assert_eq!(checkpointer.thread_info(&target).await.unwrap(), None);
}

/// A thread whose head isn't among its checkpoints would get another one.
pub async fn a_missing_head_leaves_nothing(checkpointer: &dyn Checkpointer) {
    let (source, made) = thread(checkpointer).await;
    let mut lines = lines(checkpointer, &source).await;
    let (header, other) = (&mut lines[0], "another");
    *header = header.replace(made[2].checkpoint_id.as_str(), other);
    let target = fresh_thread();
    let refused = try_import(checkpointer, &lines, &target).await;
    let is_told = matches!(refused, Err(Error::MalformedExport { line: 6, .. }));
    assert!(is_told, "{refused:?}");
    assert_eq!(checkpointer.thread_info(&target).await.unwrap(), None);
}

/// An import that is given up leaves nothing of the thread in its middle, and those before it.
pub async fn an_import_that_is_given_up(checkpointer: &dyn Checkpointer) {
    let (source, _) = thread(checkpointer).await;
    let lines = lines(checkpointer, &source).await;
    let target = fresh_thread();
    let mut import = Import::new(checkpointer).into_thread(&target).unwrap();
    for line in &lines[..lines.len() - 1] {
        import.line(line).await.unwrap();
    }
    assert_ne!(checkpointer.thread_info(&target).await.unwrap(), None);
    import.abort().await.unwrap();
    assert_eq!(checkpointer.thread_info(&target).await.unwrap(), None);

    let mut import = Import::new(checkpointer).into_thread(&target).unwrap();
    for line in &lines {
        import.line(line).await.unwrap();
    }
    import.abort().await.unwrap();
    assert_ne!(checkpointer.thread_info(&target).await.unwrap(), None);
}

/// Several threads may follow each other.
pub async fn several_threads(checkpointer: &dyn Checkpointer) {
    let sources = [fresh_thread(), fresh_thread()];
    let mut all = Vec::new();
    for source in &sources {
        put_chain(checkpointer, source, 2).await;
        all.extend(lines(checkpointer, source).await);
        all.push(String::new());
        delete(checkpointer, source).await;
    }
    let mut import = Import::new(checkpointer);
    let mut imported = Vec::new();
    for line in &all {
        imported.extend(import.line(line).await.unwrap());
    }
    import.finish().await.unwrap();
    let imported = imported
        .into_iter()
        .map(|thread| (thread.thread_id, thread.checkpoints));
    assert!(imported.eq(sources.map(|source| (source, 2))));
}

/// While a thread is imported, no other program writes to it.
pub async fn others_wait(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &source, 2).await;
    let lines = lines(checkpointer, &source).await;
    let mut import = Import::new(checkpointer).into_thread(&target).unwrap();
    let (last, rest) = lines.split_last().unwrap();
    for line in rest {
        import.line(line).await.unwrap();
        let refused = Step::first(&target).try_put(checkpointer).await;
        assert!(super::step::is_held(&refused), "{refused:?}");
    }
    import.line(last).await.unwrap();
    Step::first(&target).put(checkpointer).await;
}

/// Lines are JSON that names what it holds.
pub async fn lines_are_json(checkpointer: &dyn Checkpointer) {
    let (source, made) = thread(checkpointer).await;
    let lines = lines(checkpointer, &source).await;
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["thread"]["thread_id"], source.as_str());
    assert_eq!(
        lines[0]["thread"]["heads"][""],
        made[2].checkpoint_id.as_str()
    );
    let second = &lines[2]["checkpoint"];
    assert_eq!(second["checkpoint_id"], made[1].checkpoint_id.as_str());
    assert_eq!(
        second["parent_checkpoint_id"],
        made[0].checkpoint_id.as_str()
    );
    assert_eq!(second["appended"], json!({ "messages": [2] }));
    assert_eq!(second["same"], json!(["topic"]));
    assert_eq!(second["writes"][2]["channel"], "a");
    assert_eq!(
        lines[5],
        json!({ "end": { "checkpoints": 4, "writes": 4 } })
    );
}

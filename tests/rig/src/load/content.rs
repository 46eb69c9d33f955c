//! Values that share their pieces, and checkpoints that say which they hold.

use checkpointer::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Metadata,
    Source, Version,
};
use fastrand::Rng;
use serde_json::{Map, Value, json};

/// How many values there are.
pub(super) const CONTENTS: u64 = 60;

/// How many runs checkpoints belong to.
pub(super) const RUNS: u64 = 12;

/// Where a checkpoint's metadata says what its channels hold.
const HOLDS: &str = "holds";

/// How many items a value has, and by how many it differs from the next.
const ITEMS: u64 = 60;
const SHIFT: u64 = 9;

/// One of the values: the same for the same index, and much of it in its neighbours as well.
pub(super) fn content(index: u64) -> Value {
    let item = |n: u64| {
        let mut rng = Rng::with_seed(n);
        let words = (0..rng.usize(4..40)).map(|_| format!("{:x}", rng.u32(..)));
        json!({ "n": n, "text": words.collect::<Vec<_>>().join(" ") })
    };
    let items = (index * SHIFT..index * SHIFT + ITEMS).map(item);
    match index % 3 {
        0 => {
            let keyed = items.map(|item| (format!("key {}", item["n"]), item));
            keyed.collect::<Map<_, _>>().into()
        }
        _ => items.collect(),
    }
}

/// Makes a checkpoint of two channels that follows another.
pub(super) fn checkpoint(
    rng: &mut Rng,
    parent: Option<&CheckpointAddress>,
) -> (Checkpoint, ChannelVersions, Metadata) {
    let id = CheckpointId::generate(parent.map(|parent| &parent.checkpoint_id));
    let mut checkpoint = Checkpoint::new(id);
    let version = Version::from(checkpoint.id.as_str());
    let mut holds = Map::new();
    for channel in ["a", "b"] {
        let index = rng.u64(..CONTENTS);
        holds.insert(channel.to_owned(), index.into());
        let values = &mut checkpoint.channel_values;
        values.insert(channel.to_owned(), content(index));
        let versions = &mut checkpoint.channel_versions;
        versions.insert(channel.to_owned(), version.clone());
    }
    let versions = checkpoint.channel_versions.clone();
    let run = format!("run {}", rng.u64(..RUNS));
    let metadata = Metadata::new(Source::Loop, 0)
        .with(HOLDS, holds)
        .with("run_id", run);
    (checkpoint, versions, metadata)
}

/// Says what is wrong with a checkpoint or its writes.
pub(super) fn check(tuple: &CheckpointTuple) -> Result<(), String> {
    let wrong = |what: String| {
        let address = &tuple.address;
        Err(format!(
            "{}, {}: {what}",
            address.thread_id, address.checkpoint_id
        ))
    };
    let holds = tuple.metadata.get(HOLDS).and_then(Value::as_object);
    let Some(holds) = holds else {
        return wrong("its metadata is incomplete".to_owned());
    };
    if holds.len() != tuple.checkpoint.channel_values.len() {
        return wrong("it has other channels than were put".to_owned());
    }
    for (channel, index) in holds {
        let expected = index.as_u64().map(content);
        if tuple.checkpoint.channel_values.get(channel) != expected.as_ref() {
            return wrong(format!("`{channel}` is another value than was put"));
        }
    }
    for write in &tuple.pending_writes {
        let expected = write.task_id.as_str().parse().ok().map(content);
        if expected.as_ref() != Some(&*write.value) {
            return wrong(format!("task `{}` wrote another value", write.task_id));
        }
    }
    Ok(())
}

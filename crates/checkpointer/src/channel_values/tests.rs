//! What is shared, and what isn't.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::{
    ChannelValues, Checkpoint, CheckpointId, CheckpointTuple, Checkpointer, GetTuple, List,
    MemoryCheckpointer, Metadata, Put, ThreadId,
};

fn messages() -> ChannelValues {
    ChannelValues::from([("messages", json!(["Where is my order?"]))])
}

#[track_caller]
fn assert_shared(left: &ChannelValues, right: &ChannelValues, channel: &str) {
    let [left, right] = [left, right].map(|values| values.get_shared(channel).unwrap());
    assert!(Arc::ptr_eq(left, right), "`{channel}` was copied");
}

#[test]
fn a_clone_shares_its_values_until_one_is_changed() {
    let before = messages();
    let mut after = before.clone();
    assert_shared(&before, &after, "messages");

    let list = after.get_mut("messages").and_then(Value::as_array_mut);
    list.unwrap().push(json!("On its way."));
    assert_eq!(before["messages"], json!(["Where is my order?"]));
    assert_eq!(
        after["messages"],
        json!(["Where is my order?", "On its way."])
    );
}

#[test]
fn a_value_that_is_held_once_is_taken_out_and_changed_in_its_place() {
    let mut values = messages();
    let place = |values: &ChannelValues| values["messages"].as_array().unwrap().as_ptr();
    let before = place(&values);
    values.get_mut("messages").unwrap()[0] = json!("And now?");
    assert_eq!(place(&values), before);

    let object = Value::from(values);
    assert_eq!(object["messages"].as_array().unwrap().as_ptr(), before);
}

#[test]
fn it_is_written_and_read_as_a_map_of_values() {
    let values = messages();
    let json = json!({ "messages": ["Where is my order?"] });
    assert_eq!(json!(values), json);
    assert_eq!(Value::from(values.clone()), json);
    assert_eq!(
        serde_json::from_value::<ChannelValues>(json).unwrap(),
        values
    );
    assert_eq!(
        format!("{values:?}"),
        r#"{"messages": Array [String("Where is my order?")]}"#
    );
}

#[tokio::test]
async fn a_child_a_put_and_a_read_share_the_values() {
    let memory = MemoryCheckpointer::new();
    let (thread_id, metadata) = (ThreadId::new("t").unwrap(), Metadata::default());
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    checkpoint.channel_values = messages();
    let address = memory.put(Put::new(&thread_id, &checkpoint, &metadata));
    let address = address.await.unwrap();
    let first = CheckpointTuple::new(address, checkpoint, metadata.clone());
    let read = memory.get_tuple(GetTuple::head(&thread_id).unwrap());
    let read = read.await.unwrap().unwrap();
    let mut child = Checkpoint::child_of(&read);
    child.channel_values.insert("step", json!(2));
    let put = Put::after(&read.address, &child, &metadata);
    memory.put(put).await.unwrap();

    let listed = memory.list(List::thread(&thread_id).unwrap());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);
    for tuple in listed.iter().chain([&read]) {
        let values = &tuple.checkpoint.channel_values;
        assert_shared(values, &first.checkpoint.channel_values, "messages");
    }
}

#[tokio::test]
async fn a_put_that_keeps_its_parents_value_shares_it() {
    let memory = MemoryCheckpointer::new();
    let (thread_id, metadata) = (ThreadId::new("t").unwrap(), Metadata::default());
    let mut first = Checkpoint::new(CheckpointId::generate(None));
    first.write(&memory, [("messages", json!(["Where is my order?"]))]);
    let address = memory.put(Put::new(&thread_id, &first, &metadata));
    let address = address.await.unwrap();

    let mut second = Checkpoint::new(CheckpointId::generate(Some(&first.id)));
    second.channel_versions.clone_from(&first.channel_versions);
    let put = Put::after(&address, &second, &metadata);
    let address = memory.put(put).await.unwrap();
    let read = memory.get_tuple(GetTuple::at(&address)).await;
    let read = read.unwrap().unwrap().checkpoint.channel_values;
    assert_shared(&read, &first.channel_values, "messages");
}

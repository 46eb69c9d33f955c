//! Compares what was imported with what LangGraph's own saver reads from its tables.

use std::collections::BTreeMap;

use checkpointer::{CheckpointAddress, CheckpointNs, CheckpointTuple, Checkpointer, GetTuple};
use langgraph::Serialized;
use serde_json::{Map, Value};
use tokio_postgres::Row;

use super::source::{Source, is_lost};

/// The rows as the saver reads them, and each namespace's head.
const CHECKPOINTS: &str = "
    SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint::text,
        metadata::text, checkpoint_id = (
            SELECT max(checkpoint_id) FROM {schema}.checkpoints AS other
            WHERE other.thread_id = c.thread_id AND other.checkpoint_ns = c.checkpoint_ns)
    FROM {schema}.checkpoints AS c";

const BLOBS: &str = "
    SELECT b.channel, b.type, b.blob
    FROM {schema}.checkpoints AS c, jsonb_each_text(c.checkpoint -> 'channel_versions') AS v
    JOIN {schema}.checkpoint_blobs AS b ON b.channel = v.key AND b.version = v.value
    WHERE c.thread_id = $1 AND c.checkpoint_ns = $2 AND c.checkpoint_id = $3
        AND b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.type <> 'empty'";

const WRITES: &str = "
    SELECT task_id, channel, type, blob FROM {schema}.checkpoint_writes
    WHERE thread_id = $1 AND checkpoint_ns = $2 AND checkpoint_id = $3
    ORDER BY task_path COLLATE \"C\", task_id COLLATE \"C\", idx";

/// Checks that all checkpoints are there as they were, and returns how many.
pub(super) async fn check_all(source: &Source, target: &dyn Checkpointer) -> usize {
    let rows = query(source, CHECKPOINTS, None).await;
    let kept = rows.iter().filter(|row| !is_lost(row.get(0)));
    let mut checked = 0;
    for row in kept {
        check(source, target, row).await;
        checked += 1;
    }
    checked
}

async fn query(source: &Source, sql: &str, key: Option<[&str; 3]>) -> Vec<Row> {
    let sql = sql.replace("{schema}", source.test.schema());
    let rows = match &key {
        Some([thread_id, ns, id]) => source.client.query(&sql, &[thread_id, ns, id]).await,
        None => source.client.query(&sql, &[]).await,
    };
    rows.unwrap()
}

async fn check(source: &Source, target: &dyn Checkpointer, row: &Row) {
    let key: [&str; 3] = [row.get(0), row.get(1), row.get(2)];
    let ns = CheckpointNs::new(key[1]).unwrap();
    let address = CheckpointAddress::new(key[0], key[2]).unwrap();
    let address = address.in_ns(ns.clone());
    let tuple = target.get_tuple(GetTuple::at(&address)).await.unwrap();
    let tuple = tuple.unwrap_or_else(|| panic!("{key:?} isn't there"));

    let stored: Value = serde_json::from_str(row.get(4)).unwrap();
    let metadata: Value = serde_json::from_str(row.get(5)).unwrap();
    assert_eq!(
        without_values(&tuple.checkpoint.to_json()),
        without_values(&stored),
        "{key:?}"
    );
    assert_eq!(
        Value::Object(tuple.metadata.clone().into_map()),
        metadata,
        "{key:?}"
    );
    let parent = tuple.parent_address.as_ref();
    let parent = parent.map(|parent| parent.checkpoint_id.as_str());
    assert_eq!(parent, row.get(3), "{key:?}");

    let blobs = query(source, BLOBS, Some(key)).await;
    check_values(&tuple, &stored, &blobs, row.get(4));
    let writes = query(source, WRITES, Some(key)).await;
    check_writes(&tuple, &writes);

    let head = GetTuple::head(key[0]).unwrap().in_ns(ns);
    let head = target.get_tuple(head).await.unwrap().unwrap();
    let is_head: bool = row.get(6);
    assert_eq!(
        head.address.checkpoint_id.as_str() == key[2],
        is_head,
        "{key:?}"
    );
}

fn without_values(checkpoint: &Value) -> Map<String, Value> {
    let mut fields = checkpoint.as_object().unwrap().clone();
    fields.remove("channel_values");
    fields
}

/// Values of blobs by their bytes; those that lie in the row by what they are.
fn check_values(tuple: &CheckpointTuple, stored: &Value, blobs: &[Row], text: &str) {
    let mut values = tuple.checkpoint.channel_values.clone();
    for blob in blobs {
        let channel: &str = blob.get(0);
        let value = values.remove(channel);
        let value = value.unwrap_or_else(|| panic!("`{channel}` isn't in {:?}", tuple.address));
        assert_eq!(Serialized::from_json(&value).unwrap(), serialized(blob, 1));
    }
    let inline = stored["channel_values"].as_object();
    let inline = inline.into_iter().flatten();
    let inline =
        inline.filter(|(channel, _)| !blobs.iter().any(|blob| blob.get::<_, &str>(0) == *channel));
    let inline: BTreeMap<_, _> = inline.collect();
    assert!(
        values.keys().eq(inline.keys().copied()),
        "{:?}",
        tuple.address
    );
    for (channel, value) in values {
        if *value == *inline[&channel] {
            continue;
        }
        // An integer of more than 64 bits, which is another number in `stored`.
        let number = Serialized::from_json(&value).unwrap();
        let digits = String::from_utf8(number.bytes).unwrap();
        assert_eq!(number.type_name, "json");
        assert!(digits.len() > 19 && text.contains(&format!("\"{channel}\": {digits}")));
    }
}

fn check_writes(tuple: &CheckpointTuple, rows: &[Row]) {
    let writes = tuple.pending_writes.iter().map(|write| {
        let value = Serialized::from_json(&write.value).unwrap();
        (write.task_id.as_str(), write.channel.as_str(), value)
    });
    let rows = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), serialized(row, 2)));
    assert_eq!(
        writes.collect::<Vec<_>>(),
        rows.collect::<Vec<_>>(),
        "{:?}",
        tuple.address
    );
}

fn serialized(row: &Row, at: usize) -> Serialized {
    let bytes: Option<&[u8]> = row.get(at + 1);
    Serialized::new(row.get::<_, &str>(at), bytes.unwrap_or_default())
}

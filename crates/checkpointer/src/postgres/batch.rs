//! Sending many writes as one statement, in which each is a few rows.

use db::Row;

use super::outgoing::{Answer, Body, EncodedCheckpoint, EncodedWrites, Outcome, Outgoing};
use super::retry::is_stored;
use super::sql::Batch;
use super::store::Store;
use super::wire::Jsonb;
use crate::CheckpointId;

/// Sends writes as one statement, once. A write without an outcome wasn't stored, and must be sent
/// alone.
pub(super) async fn send_batch(
    store: &Store,
    writes: &[&Outgoing],
) -> Result<Vec<Option<Outcome>>, db::Error> {
    let mut batch = Batch::default();
    for (call, write) in (1..).zip(writes) {
        batch.add(call, write);
    }
    let rows = match writes.iter().any(|write| write.has_special()) {
        true => store.query_once(store.sql.batch.with(&batch)).await?,
        false => match store.query_once(store.sql.new_batch.with(&batch)).await {
            Err(error) if is_stored(&error) => {
                store.query_once(store.sql.batch.with(&batch)).await?
            }
            rows => rows?,
        },
    };
    let mut outcomes = vec![None; writes.len()];
    for row in &rows {
        let place = place(row);
        if let (Some(write), Some(outcome)) = (writes.get(place), outcomes.get_mut(place)) {
            let known = Outcome::of(Some(&Answer::read(row)));
            write.note(store, known);
            *outcome = Some(known);
        }
    }
    Ok(outcomes)
}

/// Which of the writes a row of the answer is about.
fn place(row: &Row) -> usize {
    usize::try_from(row.get::<_, i64>("call") - 1).unwrap_or(usize::MAX)
}

impl<'a> Batch<'a> {
    fn add(&mut self, call: i64, write: &'a Outgoing) {
        let view = write.view();
        self.threads.push(write.thread_id.as_str());
        self.generations.push(view.map(|view| view.generation));
        self.gcs.push(view.map(|view| view.gc));
        self.leases.push(write.lease.as_deref());
        self.puts.push(matches!(write.body, Body::Checkpoint(_)));
        self.add_chunks(call, write);
        match &write.body {
            Body::Checkpoint(checkpoint) => self.add_checkpoint(call, write, checkpoint),
            Body::Writes(writes) => self.add_writes(call, write, writes),
        }
    }

    fn add_chunks(&mut self, call: i64, write: &'a Outgoing) {
        let thread_id = write.thread_id.as_str();
        for hash in &write.chunks.relied {
            self.relied_calls.push(call);
            self.relied_threads.push(thread_id);
            self.relied_hashes.push(*hash);
        }
        for hash in &write.chunks.hashes {
            self.chunk_calls.push(call);
            self.chunk_threads.push(thread_id);
            self.chunk_hashes.push(*hash);
        }
        let (contents, refs) = write.chunks.columns();
        self.chunk_contents.extend(contents);
        self.chunk_refs.extend(refs);
    }

    fn add_checkpoint(&mut self, call: i64, write: &'a Outgoing, put: &'a EncodedCheckpoint) {
        let (guarded, expected) = put.guard();
        self.put_calls.push(call);
        self.put_threads.push(write.thread_id.as_str());
        self.put_ns.push(put.ns.as_str());
        self.put_ids.push(put.id.as_str());
        self.put_parents
            .push(put.parent.as_ref().map(CheckpointId::as_str));
        self.put_guarded.push(guarded);
        self.put_expected.push(expected);
        self.put_checkpoints.push(Jsonb(&put.checkpoint));
        self.put_channels.push(Jsonb(&put.channels));
        self.put_unchanged.push(Jsonb(&put.unchanged));
        self.put_metadata.push(Jsonb(&put.metadata));
    }

    fn add_writes(&mut self, call: i64, write: &'a Outgoing, writes: &'a EncodedWrites) {
        let outputs = writes.indexes.iter().zip(&writes.channels);
        for ((idx, channel), value) in outputs.zip(&writes.values) {
            self.write_calls.push(call);
            self.write_threads.push(write.thread_id.as_str());
            self.write_ns.push(writes.ns.as_str());
            self.write_ids.push(writes.id.as_str());
            self.write_tasks.push(writes.task_id.as_str());
            self.write_paths.push(&writes.task_path);
            self.write_indexes.push(*idx);
            self.write_channels.push(channel);
            self.write_values.push(Jsonb(value));
        }
    }
}

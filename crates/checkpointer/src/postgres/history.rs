//! The writes from which channels are rebuilt.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use db::Row;

use super::decode::Decoder;
use super::engine::Engine;
use super::read::{ChunkRow, WriteRow};
use super::sql::History;
use super::wire::Jsonb;
use crate::codec;
use crate::{ChannelHistory, CheckpointId, GetChannelHistory, Result, ThreadId};

/// A row of a history.
enum HistoryRow<'r> {
    Seed(SeedRow<'r>),
    Write(AncestorWrite<'r>),
    Chunk(ChunkRow<'r>),
}

/// The stored value of a channel from which its history goes on.
struct SeedRow<'r> {
    channel: String,
    value: Jsonb<'r>,
}

/// A pending write of an ancestor.
struct AncestorWrite<'r> {
    checkpoint_id: &'r str,
    /// How far the ancestor is from the target.
    depth: i32,
    write: WriteRow<'r>,
}

impl Engine {
    pub(super) async fn channel_history(
        &self,
        query: GetChannelHistory,
    ) -> Result<BTreeMap<String, ChannelHistory>> {
        let target = &query.target;
        let channels = query.channels.iter();
        let history = History {
            thread_id: target.thread_id.as_str(),
            ns: target.checkpoint_ns.as_str(),
            id: target.checkpoint_id.as_ref().map(CheckpointId::as_str),
            channels: &query.channels,
            keys: channels
                .map(|channel| codec::stored_key(channel).into_owned())
                .collect(),
        };
        let asked = self.store.sql.channel_history.with(&history);
        let rows = self
            .store
            .query("read the history of channels", asked)
            .await?;
        let mut histories: BTreeMap<String, ChannelHistory> = query
            .channels
            .into_iter()
            .map(|channel| (channel, ChannelHistory::default()))
            .collect();
        assemble(&target.thread_id, &rows, &mut histories)?;
        Ok(histories)
    }
}

fn assemble(
    thread_id: &ThreadId,
    rows: &[Row],
    histories: &mut BTreeMap<String, ChannelHistory>,
) -> Result<()> {
    // What steps have written has few chunks in common, with the seed neither.
    let mut decoder = Decoder::of_one();
    let mut writes = Vec::new();
    let mut seeds = Vec::new();
    for row in rows {
        match HistoryRow::read(row) {
            HistoryRow::Seed(seed) => seeds.push(seed),
            HistoryRow::Write(write) => writes.push(write),
            HistoryRow::Chunk(chunk) => chunk.take_into(&mut decoder, thread_id)?,
        }
    }
    drop_repeated(&mut writes);
    // The oldest ancestor first, and within it as pending writes are ordered.
    writes.sort_by_key(|written| (Reverse(written.depth), written.write.order()));
    for SeedRow { channel, value } in seeds {
        let value = decoder.value(thread_id, value.0, &channel)?;
        histories.entry(channel).or_default().seed = Some(value);
    }
    for AncestorWrite { write, .. } in writes {
        let write = write.pending_write(&decoder, thread_id)?;
        let history = histories.entry(write.channel.clone()).or_default();
        history.writes.push(write);
    }
    Ok(())
}

/// Drops what was read again of ancestors that the walk met twice, because their parents form a ring.
fn drop_repeated(writes: &mut Vec<AncestorWrite<'_>>) {
    let mut nearest = HashMap::new();
    for written in &*writes {
        let depth = nearest
            .entry(written.checkpoint_id)
            .or_insert(written.depth);
        *depth = written.depth.min(*depth);
    }
    writes.retain(|written| nearest[written.checkpoint_id] == written.depth);
}

impl<'r> HistoryRow<'r> {
    fn read(row: &'r Row) -> Self {
        match row.get("kind") {
            "seed" => Self::Seed(SeedRow {
                channel: row.get("channel"),
                value: row.get("content"),
            }),
            "write" => Self::Write(AncestorWrite {
                checkpoint_id: row.get("checkpoint_id"),
                depth: row.get("depth"),
                write: WriteRow::read(row),
            }),
            _ => Self::Chunk(ChunkRow::read(row)),
        }
    }
}

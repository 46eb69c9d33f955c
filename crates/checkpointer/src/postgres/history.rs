//! The writes from which channels are rebuilt.

use std::collections::BTreeMap;

use db::{Row, ToSql};

use super::decode::Decoder;
use super::engine::Engine;
use super::jsonb::Jsonb;
use super::read::take_chunk;
use crate::codec;
use crate::{
    ChannelHistory, CheckpointId, GetChannelHistory, PendingWrite, Result, TaskId, ThreadId,
};

impl Engine {
    pub(super) async fn channel_history(
        &self,
        query: GetChannelHistory,
    ) -> Result<BTreeMap<String, ChannelHistory>> {
        let target = &query.target;
        let keys: Vec<String> = query
            .channels
            .iter()
            .map(|channel| codec::stored_key(channel).into_owned())
            .collect();
        let parameters: [&(dyn ToSql + Sync); 5] = [
            /* thread_id */ &target.thread_id.as_str(),
            /* ns */ &target.checkpoint_ns.as_str(),
            /* id */ &target.checkpoint_id.as_ref().map(CheckpointId::as_str),
            /* channels */ &query.channels,
            /* keys */ &keys,
        ];
        let statement = &self.store.sql.channel_history;
        let rows = self
            .store
            .query("read the history of channels", statement, &parameters)
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
    let mut decoder = Decoder::of_many();
    let mut writes: Vec<&Row> = Vec::new();
    let mut seeds: Vec<&Row> = Vec::new();
    for row in rows {
        match row.get("kind") {
            "s" => seeds.push(row),
            "w" => writes.push(row),
            _ => take_chunk(&mut decoder, thread_id, row)?,
        }
    }
    // The oldest ancestor first, and within it as pending writes are ordered.
    writes.sort_by_key(|row| order(row));
    for row in seeds {
        let (channel, value) = value(thread_id, &decoder, row)?;
        histories.entry(channel).or_default().seed = Some(value);
    }
    for row in writes {
        let (channel, value) = value(thread_id, &decoder, row)?;
        let write = PendingWrite::new(TaskId::trusted(row.get("task_id")), &channel, value);
        histories.entry(channel).or_default().writes.push(write);
    }
    Ok(())
}

fn order(row: &Row) -> (std::cmp::Reverse<i32>, &str, &str, i32) {
    (
        std::cmp::Reverse(row.get("depth")),
        row.get("task_path"),
        row.get("task_id"),
        row.get("idx"),
    )
}

fn value(
    thread_id: &ThreadId,
    decoder: &Decoder<'_>,
    row: &Row,
) -> Result<(String, serde_json::Value)> {
    let channel: String = row.get("channel");
    let Jsonb(stored) = row.get("content");
    let value = decoder.value(thread_id, stored, &channel)?;
    Ok((channel, value))
}

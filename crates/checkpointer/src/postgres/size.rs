//! How much is stored.

use db::Row;

use super::decode::corrupt;
use super::engine::Engine;
use super::meter;
use super::sql::{MeasuredSchema, OneThread};
use super::tables::MIGRATIONS;
use crate::{ChannelSize, Result, SchemaSize, TableSize, ThreadId, ThreadSize, codec};

impl Engine {
    pub(super) async fn thread_size(&self, thread_id: &ThreadId) -> Result<Option<ThreadSize>> {
        let one = OneThread {
            thread_id: thread_id.as_str(),
        };
        let asked = self.store.sql.thread_size.with(&one);
        let rows = self.store.query("measure a thread", asked).await?;
        let mut size = ThreadSize::new(thread_id.clone());
        let mut is_there = false;
        for row in &rows {
            match row.get("channel") {
                Some(channel) => add_channel(&mut size, channel, row)?,
                None => {
                    is_there = true;
                    size.bytes = count(row, "own_bytes");
                    size.checkpoints = count(row, "checkpoints");
                    size.pending_writes = count(row, "pending_writes");
                    size.chunks = count(row, "chunks");
                }
            }
        }
        Ok(is_there.then_some(size))
    }

    pub(super) async fn schema_size(&self) -> Result<SchemaSize> {
        let schema = MeasuredSchema {
            schema_name: MIGRATIONS.schema(&self.store.database),
        };
        let asked = self.store.sql.schema_size.with(&schema);
        let rows = self.store.query("measure the tables", asked).await?;
        let tables = rows.iter().map(|row| {
            let table = TableSize {
                bytes: count(row, "bytes"),
                rows: count(row, "rows"),
            };
            (row.get("name"), table)
        });
        let size = SchemaSize {
            tables: tables.collect(),
        };
        meter::measured(&size);
        Ok(size)
    }
}

/// Adds what a channel takes in checkpoints, or in pending writes.
fn add_channel(size: &mut ThreadSize, channel: &str, row: &Row) -> Result<()> {
    let channel = match row.get("is_key") {
        true => codec::key_of(channel).ok_or_else(|| {
            let what = "the name of a channel isn't escaped as it must be".to_owned();
            corrupt(&size.thread_id, what)
        })?,
        false => channel.to_owned(),
    };
    let ChannelSize {
        own_bytes,
        shared_bytes,
        chunks,
    } = size.channels.entry(channel).or_default();
    *own_bytes += count(row, "own_bytes");
    *shared_bytes += count(row, "shared_bytes");
    *chunks += count(row, "chunks");
    Ok(())
}

fn count(row: &Row, column: &str) -> u64 {
    u64::try_from(row.get::<_, i64>(column)).unwrap_or(0)
}

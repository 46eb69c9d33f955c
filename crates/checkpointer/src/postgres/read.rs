//! Making checkpoints, with what belongs to them, of the rows of a read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use db::Row;

use super::cache::View;
use super::decode::{self, Decoder};
use super::jsonb::Jsonb;
use super::store::Store;
use crate::codec::{self, ContentHash};
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, Error, Generation, Loaded,
    PendingWrite, Projection, Result, TaskId, ThreadId,
};

/// How many bytes of chunks the values of a read are made of before it ends early. They come once
/// however many checkpoints share them, but each checkpoint has values of its own.
const READ_BYTES: usize = 64 << 20;

/// Checkpoints that were read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) tuples: Vec<CheckpointTuple>,
    /// Whether these are all that the server has sent.
    pub(super) is_whole: bool,
}

impl Read {
    pub(super) fn nothing() -> Self {
        Self {
            tuples: Vec::new(),
            is_whole: true,
        }
    }
}

impl Store {
    /// Puts together the checkpoints of a read, in their order, and remembers what it has shown.
    pub(super) fn tuples(&self, rows: &[Row], projection: &Projection) -> Result<Read> {
        let is_checkpoint = |row: &&Row| row.get::<_, &str>("kind") == "c";
        let mut decoder = match rows.iter().filter(is_checkpoint).count() {
            ..=1 => Decoder::of_one(),
            _ => Decoder::of_many(),
        };
        let mut checkpoints: BTreeMap<i64, &Row> = BTreeMap::new();
        let mut writes: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            match row.get("kind") {
                "c" => {
                    checkpoints.insert(row.get("place"), row);
                }
                "w" => writes.entry(row.get("place")).or_default().push(row),
                "h" => return Err(lost_head(row)),
                _ => {
                    let thread_id = ThreadId::trusted(row.get("thread_id"));
                    take_chunk(&mut decoder, &thread_id, row)?;
                }
            }
        }
        let mut seen = HashMap::new();
        let found = checkpoints.len();
        let mut tuples = Vec::with_capacity(found);
        for (place, row) in checkpoints {
            if !tuples.is_empty() && decoder.bytes_read() >= READ_BYTES {
                break;
            }
            let writes = writes.remove(&place).unwrap_or_default();
            let tuple = tuple(&decoder, row, writes, projection)?;
            let view = View {
                generation: row.get("generation"),
                gc: row.get("gc"),
            };
            seen.insert(tuple.address.thread_id.clone(), view);
            tuples.push(tuple);
        }
        for (thread_id, view) in seen {
            self.cache
                .note(&thread_id, view, decoder.hashes(&thread_id));
        }
        Ok(Read {
            is_whole: tuples.len() == found,
            tuples,
        })
    }
}

/// The keys of the channels to read: none for ids and metadata, no list for all.
pub(super) fn only(projection: &Projection) -> Option<Vec<Cow<'_, str>>> {
    match projection {
        Projection::All => None,
        Projection::Channels(channels) => {
            let keys = channels.iter();
            Some(keys.map(|channel| codec::stored_key(channel)).collect())
        }
        Projection::Metadata => Some(Vec::new()),
    }
}

/// Takes the row of a chunk.
pub(super) fn take_chunk<'r>(
    decoder: &mut Decoder<'r>,
    thread_id: &ThreadId,
    row: &'r Row,
) -> Result<()> {
    let Ok(hash) = row.get::<_, &[u8]>("hash").try_into() else {
        let what = "the hash of a chunk isn't 16 bytes long".to_owned();
        return Err(decode::corrupt(thread_id, what));
    };
    let content: Option<Jsonb<'r>> = row.get("content");
    decoder.take_chunk(
        thread_id,
        ContentHash::from_bytes(hash),
        content.map(|Jsonb(text)| text),
        row.get("refs"),
    )
}

fn lost_head(row: &Row) -> Error {
    let thread_id = ThreadId::trusted(row.get("thread_id"));
    let (ns, id): (&str, &str) = (row.get("checkpoint_ns"), row.get("checkpoint_id"));
    let what = format!("the head of namespace `{ns}`, checkpoint `{id}`, is missing");
    decode::corrupt(&thread_id, what)
}

fn tuple(
    decoder: &Decoder<'_>,
    row: &Row,
    mut writes: Vec<&Row>,
    projection: &Projection,
) -> Result<CheckpointTuple> {
    let address = CheckpointAddress {
        thread_id: ThreadId::trusted(row.get("thread_id")),
        checkpoint_ns: CheckpointNs::trusted(row.get("checkpoint_ns")),
        checkpoint_id: CheckpointId::trusted(row.get("checkpoint_id")),
        generation: Some(Generation(row.get("generation"))),
    };
    let thread_id = &address.thread_id;
    let loaded = match projection {
        Projection::All => Loaded::All,
        Projection::Channels(_) => Loaded::SomeChannels,
        Projection::Metadata => Loaded::Nothing,
    };
    let (id, Jsonb(content)) = (address.checkpoint_id.clone(), row.get("content"));
    let mut checkpoint = decode::checkpoint(thread_id, id, content, loaded)?;
    let of = |error| decode::of_checkpoint(error, &address.checkpoint_id);
    if let Some(Jsonb(channels)) = row.get("channels") {
        checkpoint.channel_values = decoder.channels(thread_id, channels).map_err(of)?;
    }
    let Jsonb(metadata) = row.get("metadata");
    let metadata = decode::metadata(thread_id, metadata).map_err(of)?;
    let parent: Option<String> = row.get("parent_checkpoint_id");
    let parent_address = parent.map(|parent| address.sibling(CheckpointId::trusted(parent)));
    writes.sort_by_key(|row| write_key(row));
    let pending_writes = writes
        .into_iter()
        .map(|row| pending_write(decoder, thread_id, row).map_err(of))
        .collect::<Result<_>>()?;
    Ok(CheckpointTuple {
        address,
        checkpoint,
        metadata,
        parent_address,
        pending_writes,
    })
}

/// The order of pending writes. In their rows the columns of a checkpoint's address hold the task's
/// id, its path and the channel.
fn write_key(row: &Row) -> (&str, &str, i32) {
    (
        /* task_path */ row.get("checkpoint_ns"),
        /* task_id */ row.get("thread_id"),
        row.get("idx"),
    )
}

fn pending_write(decoder: &Decoder<'_>, thread_id: &ThreadId, row: &Row) -> Result<PendingWrite> {
    let channel: String = row.get("checkpoint_id");
    let Jsonb(value) = row.get("content");
    let value = decoder.value(thread_id, value, &channel)?;
    let task_id = TaskId::trusted(row.get("thread_id"));
    Ok(PendingWrite::new(task_id, channel, value))
}

//! Making checkpoints, with what belongs to them, of the rows of a read.

use std::collections::{BTreeMap, HashMap};

use db::Row;

use super::decode::{self, Decoder};
use super::last_reads::{FoundList, ReadLists};
use super::sql::Only;
use super::store::Store;
use super::view::View;
use super::wire::Jsonb;
use crate::codec::{self, ContentHash};
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, Error, Generation, Loaded,
    PendingWrite, Projection, Result, TaskId, ThreadId,
};

/// How many bytes of chunks the values of a read are made of before it ends early. Chunks come once
/// however many values share them, but each value that differs has contents of its own.
const READ_BYTES: usize = 64 << 20;

/// Checkpoints that were read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) tuples: Vec<CheckpointTuple>,
    /// The lists of one checkpoint that are to be put together with those that were read last.
    pub(super) lists: BTreeMap<String, FoundList>,
    /// Whether these are all that the server has sent.
    pub(super) is_whole: bool,
}

/// A row of a read.
enum ReadRow<'r> {
    Checkpoint(i64, CheckpointRow<'r>),
    Write(i64, WriteRow<'r>),
    Chunk(ThreadId, ChunkRow<'r>),
    LostHead(Error),
}

struct CheckpointRow<'r> {
    address: CheckpointAddress,
    parent: Option<CheckpointId>,
    view: View,
    content: Jsonb<'r>,
    channels: Option<Jsonb<'r>>,
    metadata: Jsonb<'r>,
    pinned: bool,
}

/// A pending write. Their order is that of the first three fields.
pub(super) struct WriteRow<'r> {
    task_path: &'r str,
    task_id: &'r str,
    idx: i32,
    channel: &'r str,
    value: Jsonb<'r>,
}

/// A chunk.
pub(super) struct ChunkRow<'r> {
    hash: &'r [u8],
    content: Option<Jsonb<'r>>,
    refs: Option<&'r [u8]>,
}

impl<'a> Only<'a> {
    /// What a projection reads.
    pub(super) fn of(projection: &'a Projection) -> Self {
        let only = match projection {
            Projection::All => None,
            Projection::Channels(channels) => {
                let keys = channels.iter().map(|channel| codec::stored_key(channel));
                Some(keys.collect())
            }
            Projection::Metadata => Some(Vec::new()),
        };
        Self {
            only,
            state: *projection != Projection::Metadata,
        }
    }
}

impl Store {
    /// Puts together the checkpoints of a read, in their order, and remembers what it has shown.
    pub(super) fn tuples(&self, rows: &[Row], projection: &Projection) -> Result<Read> {
        Read::of(rows, projection, None, |thread_id, view, hashes| {
            self.chunks.note(thread_id, view, hashes);
        })
    }
}

impl Read {
    /// Puts together the checkpoints of a read, in their order. `shown` is told each thread, its
    /// state, and the chunks that it holds. One checkpoint may lack the chunks of lists that are `held`.
    pub(super) fn of(
        rows: &[Row],
        projection: &Projection,
        held: Option<&ReadLists>,
        mut shown: impl FnMut(&ThreadId, View, &mut dyn Iterator<Item = ContentHash>),
    ) -> Result<Self> {
        let mut checkpoints = BTreeMap::new();
        let mut writes: HashMap<i64, Vec<WriteRow<'_>>> = HashMap::new();
        let mut chunks = Vec::new();
        for row in rows {
            match ReadRow::read(row) {
                ReadRow::Checkpoint(place, checkpoint) => {
                    checkpoints.insert(place, checkpoint);
                }
                ReadRow::Write(place, write) => writes.entry(place).or_default().push(write),
                ReadRow::Chunk(thread_id, chunk) => chunks.push((thread_id, chunk)),
                ReadRow::LostHead(error) => return Err(error),
            }
        }
        let mut decoder = match (held, checkpoints.len()) {
            (Some(held), _) => Decoder::after(held),
            (None, ..=1) => Decoder::of_one(),
            (None, _) => Decoder::of_many(),
        };
        for (thread_id, chunk) in chunks {
            chunk.take_into(&mut decoder, &thread_id)?;
        }
        let mut seen = HashMap::new();
        let found = checkpoints.len();
        let mut tuples = Vec::with_capacity(found);
        let mut lists = BTreeMap::new();
        for (place, checkpoint) in checkpoints {
            if !tuples.is_empty() && decoder.bytes_read() >= READ_BYTES {
                break;
            }
            seen.insert(checkpoint.address.thread_id.clone(), checkpoint.view);
            let writes = writes.remove(&place).unwrap_or_default();
            tuples.push(checkpoint.tuple(&decoder, writes, projection, &mut lists)?);
        }
        for (thread_id, view) in seen {
            shown(&thread_id, view, &mut decoder.hashes(&thread_id));
        }
        Ok(Self {
            is_whole: tuples.len() == found,
            tuples,
            lists,
        })
    }
}

impl<'r> ReadRow<'r> {
    fn read(row: &'r Row) -> Self {
        match row.get("kind") {
            "checkpoint" => Self::Checkpoint(row.get("place"), CheckpointRow::read(row)),
            "write" => Self::Write(row.get("place"), WriteRow::read(row)),
            "lost head" => Self::LostHead(lost_head(row)),
            _ => {
                let thread_id = ThreadId::trusted(row.get("thread_id"));
                Self::Chunk(thread_id, ChunkRow::read(row))
            }
        }
    }
}

fn lost_head(row: &Row) -> Error {
    let thread_id = ThreadId::trusted(row.get("thread_id"));
    let (ns, id): (&str, &str) = (row.get("checkpoint_ns"), row.get("checkpoint_id"));
    let what = format!("the head of namespace `{ns}`, checkpoint `{id}`, is missing");
    decode::corrupt(&thread_id, what)
}

impl<'r> CheckpointRow<'r> {
    fn read(row: &'r Row) -> Self {
        let view = View::read(row);
        let parent: Option<String> = row.get("parent_checkpoint_id");
        Self {
            address: CheckpointAddress {
                thread_id: ThreadId::trusted(row.get("thread_id")),
                checkpoint_ns: CheckpointNs::trusted(row.get("checkpoint_ns")),
                checkpoint_id: CheckpointId::trusted(row.get("checkpoint_id")),
                generation: Some(Generation(view.generation)),
            },
            parent: parent.map(CheckpointId::trusted),
            view,
            content: row.get("content"),
            channels: row.get("channels"),
            metadata: row.get("metadata"),
            pinned: row.get("pinned"),
        }
    }

    fn tuple(
        self,
        decoder: &Decoder<'_>,
        mut writes: Vec<WriteRow<'_>>,
        projection: &Projection,
        lists: &mut BTreeMap<String, FoundList>,
    ) -> Result<CheckpointTuple> {
        let Self { address, .. } = self;
        let thread_id = &address.thread_id;
        let loaded = match projection {
            Projection::All => Loaded::All,
            Projection::Channels(_) => Loaded::SomeChannels,
            Projection::Metadata => Loaded::Nothing,
        };
        let (id, Jsonb(content)) = (address.checkpoint_id.clone(), self.content);
        let mut checkpoint = decode::checkpoint(thread_id, id, content, loaded)?;
        let of = |error| decode::of_checkpoint(error, &address.checkpoint_id);
        if let Some(Jsonb(channels)) = self.channels {
            let channels = decoder.channels(thread_id, channels).map_err(of)?;
            checkpoint.channel_values = channels.values;
            lists.extend(channels.lists);
        }
        let metadata = decode::metadata(thread_id, self.metadata.0).map_err(of)?;
        writes.sort_by_key(WriteRow::order);
        let pending_writes = writes
            .iter()
            .map(|write| write.pending_write(decoder, thread_id).map_err(of))
            .collect::<Result<_>>()?;
        Ok(CheckpointTuple {
            parent_address: self.parent.map(|parent| address.sibling(parent)),
            address,
            checkpoint,
            metadata,
            pending_writes,
            pinned: self.pinned,
        })
    }
}

impl<'r> WriteRow<'r> {
    pub(super) fn read(row: &'r Row) -> Self {
        Self {
            task_path: row.get("task_path"),
            task_id: row.get("task_id"),
            idx: row.get("idx"),
            channel: row.get("channel"),
            value: row.get("content"),
        }
    }

    /// What the order of pending writes goes by.
    pub(super) fn order(&self) -> (&'r str, &'r str, i32) {
        (self.task_path, self.task_id, self.idx)
    }

    pub(super) fn pending_write(
        &self,
        decoder: &Decoder<'_>,
        thread_id: &ThreadId,
    ) -> Result<PendingWrite> {
        let value = decoder.value(thread_id, self.value.0, self.channel)?;
        let task_id = TaskId::trusted(self.task_id.to_owned());
        Ok(PendingWrite {
            task_path: self.task_path.to_owned(),
            idx: self.idx,
            ..PendingWrite::new(task_id, self.channel, value)
        })
    }
}

impl<'r> ChunkRow<'r> {
    pub(super) fn read(row: &'r Row) -> Self {
        Self {
            hash: row.get("hash"),
            content: row.get("content"),
            refs: row.get("refs"),
        }
    }

    pub(super) fn take_into(&self, decoder: &mut Decoder<'r>, thread_id: &ThreadId) -> Result<()> {
        let Ok(hash) = self.hash.try_into() else {
            let what = "the hash of a chunk isn't 16 bytes long".to_owned();
            return Err(decode::corrupt(thread_id, what));
        };
        decoder.take_chunk(
            thread_id,
            ContentHash::from_bytes(hash),
            self.content.map(|Jsonb(text)| text),
            self.refs,
        )
    }
}

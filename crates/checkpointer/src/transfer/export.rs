//! A thread on its way out.

use std::collections::BTreeMap;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};

use super::{End, write};
use crate::codec::Refused;
use crate::{
    ChannelValues, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer,
    Error, GetTuple, IntoName, List, Projection, Result, ThreadId, ThreadInfo,
};

/// How many checkpoints are read at the same time.
const AT_ONCE: usize = 4;

/// Exports a thread as lines of JSON, without line breaks: its metadata, and each checkpoint with its
/// id, parent, values, versions, metadata, pin and pending writes. [`Import`](super::Import) reads them, and
/// `docs/export.md` describes them. A line holds of a state only what differs from the line before.
///
/// The stream reads one checkpoint after the other and holds a few of them, so a thread of any length
/// can be exported. What is put meanwhile may or may not be among the lines. The export has no lease,
/// and no writes whose checkpoint isn't there yet.
///
/// # Errors
///
/// [`Error::InvalidName`] if the id can't be one. The stream fails with [`Error::ThreadNotFound`] if there
/// is no such thread, with [`Error::ThreadDeleted`] if it is deleted meanwhile, and with
/// [`Error::Corrupt`] if a checkpoint can't be read.
///
/// # Examples
///
/// ```
/// use checkpointer::futures_util::TryStreamExt;
/// use checkpointer::{Import, MemoryCheckpointer, export};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let production = MemoryCheckpointer::new();
/// # production.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// let lines: Vec<String> = export(&production, "support-4711")?.try_collect().await?;
///
/// let laptop = MemoryCheckpointer::new();
/// let mut import = Import::new(&laptop);
/// for line in &lines {
///     if let Some(imported) = import.line(line).await? {
///         println!("{} has {} checkpoints", imported.thread_id, imported.checkpoints);
///     }
/// }
/// import.finish().await?;
/// let state = laptop.thread::<Vec<String>>("support-4711")?.load().await?;
/// assert_eq!(state, Some(vec!["Where is my order?".to_owned()]));
/// # Ok(())
/// # }
/// ```
pub fn export<'c>(
    checkpointer: &'c dyn Checkpointer,
    thread_id: impl IntoName<ThreadId>,
) -> Result<BoxStream<'c, Result<String>>> {
    let thread_id = thread_id.into_name()?;
    let lines = async move {
        let outgoing = Outgoing::find(checkpointer, thread_id).await?;
        Ok::<_, Error>(outgoing.lines())
    };
    Ok(stream::once(lines).try_flatten().boxed())
}

/// A thread that is exported.
struct Outgoing<'c> {
    checkpointer: &'c dyn Checkpointer,
    thread: ThreadInfo,
    heads: BTreeMap<CheckpointNs, CheckpointId>,
    /// By namespace and id, so that each comes after those that were put before it.
    addresses: Vec<CheckpointAddress>,
}

/// What the lines so far have held.
#[derive(Default)]
struct Told {
    values: ChannelValues,
    end: End,
}

impl<'c> Outgoing<'c> {
    async fn find(checkpointer: &'c dyn Checkpointer, thread_id: ThreadId) -> Result<Self> {
        let Some(thread) = checkpointer.thread_info(&thread_id).await? else {
            return Err(Error::thread_not_found(&thread_id));
        };
        let list = List::thread(thread_id)?.project(Projection::Metadata);
        let steps = checkpointer.list(list).map_ok(|tuple| tuple.address);
        let mut addresses: Vec<CheckpointAddress> = steps.try_collect().await?;
        addresses.sort_by(|left, right| {
            let key =
                |at: &'_ CheckpointAddress| (at.checkpoint_ns.clone(), at.checkpoint_id.clone());
            key(left).cmp(&key(right))
        });
        let mut outgoing = Self {
            checkpointer,
            thread,
            heads: BTreeMap::new(),
            addresses,
        };
        outgoing.find_heads().await?;
        Ok(outgoing)
    }

    async fn find_heads(&mut self) -> Result<()> {
        let namespaces = self
            .addresses
            .chunk_by(|left, right| left.checkpoint_ns == right.checkpoint_ns);
        for address in namespaces.filter_map(|namespace| namespace.first()) {
            let query = GetTuple::head(&address.thread_id)?.in_ns(&address.checkpoint_ns);
            let query = query.project(Projection::Metadata);
            if let Some(head) = self.checkpointer.get_tuple(query).await? {
                let CheckpointAddress {
                    checkpoint_ns,
                    checkpoint_id,
                    ..
                } = head.address;
                self.heads.insert(checkpoint_ns, checkpoint_id);
            }
        }
        Ok(())
    }

    fn lines(self) -> BoxStream<'c, Result<String>> {
        let Self {
            checkpointer,
            thread,
            heads,
            addresses,
        } = self;
        let header = write::header(&thread, &heads);
        let header = header.map_err(|refused| unwritable(&thread.thread_id, &refused));
        let tuples = stream::iter(addresses)
            .map(move |address| checkpointer.get_tuple(GetTuple::at(&address)))
            .buffered(AT_ONCE)
            // One that was removed meanwhile is left out.
            .try_filter_map(async |tuple| Ok(tuple));
        let told = Some(Told::default());
        let rest = stream::try_unfold((tuples.boxed(), told), move |(mut tuples, told)| {
            let thread = thread.clone();
            async move {
                let Some(mut told) = told else {
                    return Ok(None);
                };
                match tuples.try_next().await? {
                    Some(tuple) => Ok(Some((told.step(tuple)?, (tuples, Some(told))))),
                    None => {
                        still_there(checkpointer, &thread).await?;
                        Ok(Some((told.end(&thread.thread_id)?, (tuples, None))))
                    }
                }
            }
        });
        stream::iter([header]).chain(rest).boxed()
    }
}

impl Told {
    fn step(&mut self, tuple: CheckpointTuple) -> Result<String> {
        let line = write::step(&tuple, &self.values);
        let line = line.map_err(|refused| unwritable(&tuple.address.thread_id, &refused))?;
        self.end.checkpoints += 1;
        self.end.writes += tuple.pending_writes.len() as u64;
        self.values = tuple.checkpoint.channel_values;
        Ok(line)
    }

    fn end(&self, thread_id: &ThreadId) -> Result<String> {
        write::end(self.end).map_err(|refused| unwritable(thread_id, &refused))
    }
}

/// Fails if the thread was deleted since it was found: then some of it may have been left out.
async fn still_there(checkpointer: &dyn Checkpointer, thread: &ThreadInfo) -> Result<()> {
    let now = checkpointer.thread_info(&thread.thread_id).await?;
    match now.is_some_and(|now| now.generation == thread.generation) {
        true => Ok(()),
        false => Err(Error::thread_deleted(&thread.thread_id)),
    }
}

fn unwritable(thread_id: &ThreadId, refused: &Refused) -> Error {
    Error::refused(thread_id, "a line of the export", refused)
}

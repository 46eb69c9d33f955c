//! A thread on its way out.

use std::cmp::Ordering;
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
/// is no such thread, with [`Error::ThreadDeleted`] if it is deleted meanwhile, with
/// [`Error::CheckpointNotFound`] if a head is removed meanwhile, and with [`Error::Corrupt`] if a
/// checkpoint can't be read.
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
struct Told {
    values: ChannelValues,
    end: End,
    /// The heads that are still to come.
    heads: BTreeMap<CheckpointNs, CheckpointId>,
}

impl<'c> Outgoing<'c> {
    async fn find(checkpointer: &'c dyn Checkpointer, thread_id: ThreadId) -> Result<Self> {
        let Some(thread) = checkpointer.thread_info(&thread_id).await? else {
            return Err(Error::thread_not_found(&thread_id));
        };
        let list = List::thread(thread_id)?.project(Projection::Metadata);
        let steps = checkpointer.list(list);
        let steps = steps.map_ok(|tuple| (tuple.address, tuple.parent_address));
        let (mut addresses, parents): (Vec<_>, Vec<_>) =
            steps.try_collect::<Vec<_>>().await?.into_iter().unzip();
        addresses.sort_by(order);
        let mut outgoing = Self {
            checkpointer,
            thread,
            heads: BTreeMap::new(),
            addresses,
        };
        outgoing.find_heads().await?;
        outgoing.find_parents(parents).await?;
        Ok(outgoing)
    }

    /// Adds the parents of those listed that the list had passed by when they were put.
    async fn find_parents(&mut self, parents: Vec<Option<CheckpointAddress>>) -> Result<()> {
        for parent in parents.into_iter().flatten() {
            if self.place(&parent).is_err()
                && let Some(parent) = self.read(GetTuple::at(&parent)).await?
            {
                self.add(parent).await?;
            }
        }
        Ok(())
    }

    async fn find_heads(&mut self) -> Result<()> {
        let namespaces = self
            .addresses
            .chunk_by(|left, right| left.checkpoint_ns == right.checkpoint_ns);
        let namespaces = namespaces.filter_map(|namespace| namespace.first());
        let namespaces: Vec<_> = namespaces.map(|at| at.checkpoint_ns.clone()).collect();
        for ns in namespaces {
            let query = GetTuple::head(&self.thread.thread_id)?.in_ns(&ns);
            if let Some(head) = self.read(query).await? {
                self.heads.insert(ns, head.address.checkpoint_id.clone());
                self.add(head).await?;
            }
        }
        Ok(())
    }

    /// Adds a checkpoint that the list hasn't, with those of its ancestors that it hasn't, either.
    async fn add(&mut self, tuple: CheckpointTuple) -> Result<()> {
        let mut next = Some(tuple);
        while let Some(tuple) = next {
            let Err(place) = self.place(&tuple.address) else {
                return Ok(());
            };
            self.addresses.insert(place, tuple.address);
            next = match tuple.parent_address {
                Some(parent) => self.read(GetTuple::at(&parent)).await?,
                None => None,
            };
        }
        Ok(())
    }

    /// The place of an address, or where it would be.
    fn place(&self, address: &CheckpointAddress) -> std::result::Result<usize, usize> {
        self.addresses.binary_search_by(|at| order(at, address))
    }

    async fn read(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        let query = query.project(Projection::Metadata);
        self.checkpointer.get_tuple(query).await
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
        let told = Some(Told {
            values: ChannelValues::new(),
            end: End::default(),
            heads,
        });
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
                        Ok(Some((told.end(thread.thread_id)?, (tuples, None))))
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
        let at = &tuple.address;
        if self.heads.get(&at.checkpoint_ns) == Some(&at.checkpoint_id) {
            self.heads.remove(&at.checkpoint_ns);
        }
        self.values = tuple.checkpoint.channel_values;
        Ok(line)
    }

    /// The last line. It fails if a head was removed that the first line names.
    fn end(self, thread_id: ThreadId) -> Result<String> {
        if let Some((checkpoint_ns, checkpoint_id)) = self.heads.into_iter().next() {
            return Err(Error::CheckpointNotFound {
                thread_id,
                checkpoint_ns,
                checkpoint_id,
            });
        }
        write::end(self.end).map_err(|refused| unwritable(&thread_id, &refused))
    }
}

/// The order of the lines.
fn order(left: &CheckpointAddress, right: &CheckpointAddress) -> Ordering {
    let by_ns = left.checkpoint_ns.cmp(&right.checkpoint_ns);
    by_ns.then_with(|| left.checkpoint_id.cmp(&right.checkpoint_id))
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

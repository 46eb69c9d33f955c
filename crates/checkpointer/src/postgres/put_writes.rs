//! Storing the outputs of a task.

use db::{Row, ToSql};

use super::cache::View;
use super::cut::Cut;
use super::encode::{Encoder, NewChunk};
use super::engine::Engine;
use super::jsonb::Jsonb;
use super::lanes::{Sent, Write};
use super::put::{Lock, all, columns};
use super::refusal::{MAX_ROUNDS, busy, deleted};
use super::store::Store;
use crate::codec::ContentHash;
use crate::writes::{self, Numbered};
use crate::{CheckpointAddress, Generation, PutWrites, Result, TaskId, check};

/// A task's outputs, encoded for one state of their thread.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) address: CheckpointAddress,
    pub(super) task_id: TaskId,
    pub(super) task_path: String,
    pub(super) lock: Lock,
    pub(super) hashes: Vec<ContentHash>,
    pub(super) chunks: Vec<NewChunk>,
    pub(super) indexes: Vec<i32>,
    pub(super) channels: Vec<String>,
    pub(super) values: Vec<Vec<u8>>,
}

impl Engine {
    pub(super) async fn put_writes(&self, put: PutWrites<'_>) -> Result<()> {
        check::put_writes(&put)?;
        let thread_id = &put.address.thread_id;
        let writes = writes::number(put.writes);
        let cuts: Vec<_> = writes
            .iter()
            .map(|write| Cut::of_write(write.value))
            .collect();
        let mut turn = self.order.shared(thread_id).await;
        let mut view = self.known(thread_id, put.address.generation);
        let mut relies = view;
        let mut look_first = view.is_none() && put.address.generation.is_some();
        for _ in 0..MAX_ROUNDS {
            if look_first {
                view = self.view_for_writes(&put).await?;
                relies = None;
            }
            let is_stored = self.is_stored(thread_id, relies);
            let encoded = encode(&put, &writes, &cuts, view, &is_stored)?;
            turn = match self.lanes.send(Write::Writes(encoded), turn).await? {
                Sent::Stored(_) => return Ok(()),
                Sent::NotStored(_, turn) => turn,
            };
            look_first = true;
        }
        Err(busy(thread_id))
    }

    /// Looks at the thread: its state, or none if there is no such thread yet.
    async fn view_for_writes(&self, put: &PutWrites<'_>) -> Result<Option<View>> {
        let address = put.address;
        let look = self
            .store
            .look(
                &address.thread_id,
                &address.checkpoint_ns,
                &address.checkpoint_id,
                None,
                put.lease,
            )
            .await?;
        if let Some(refusal) = look.refusal {
            return Err(refusal);
        }
        match look.thread {
            Some(seen) if seen.deleted => Err(deleted(&address.thread_id)),
            Some(seen)
                if address
                    .generation
                    .is_some_and(|Generation(read)| read != seen.view.generation) =>
            {
                Err(deleted(&address.thread_id))
            }
            Some(seen) => Ok(Some(seen.view)),
            None if address.generation.is_some() => Err(deleted(&address.thread_id)),
            None => Ok(None),
        }
    }
}

impl Store {
    /// Sends the writes as a statement of their own.
    pub(super) async fn send_writes(&self, put: &Encoded) -> Result<Option<Row>> {
        let mut lock = put.lock.parameters(&put.address.thread_id);
        let (contents, refs) = columns(&put.chunks);
        let hashes: Vec<&[u8]> = put.hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
        let chunks: [&(dyn ToSql + Sync); 3] = [
            /* hashes */ &hashes, /* contents */ &contents, /* refs */ &refs,
        ];
        let (statement, chunks) = match &put.lock {
            Lock::Known { relied, .. } if relied.is_empty() && put.chunks.is_empty() => {
                // What it relies on is the last.
                lock.pop();
                (&self.sql.put_small_writes, &[][..])
            }
            lock => (lock.statement(&self.sql.put_writes), &chunks[..]),
        };
        let values: Vec<Jsonb<'_>> = put.values.iter().map(|json| Jsonb(json)).collect();
        let writes: [&(dyn ToSql + Sync); 7] = [
            /* ns */ &put.address.checkpoint_ns.as_str(),
            /* id */ &put.address.checkpoint_id.as_str(),
            /* task_id */ &put.task_id.as_str(),
            /* task_path */ &put.task_path,
            /* indexes */ &put.indexes,
            /* channels */ &put.channels,
            /* values */ &values,
        ];
        let rest = [chunks, &writes].concat();
        let parameters = all(&lock, &rest);
        self.query_opt("put pending writes", statement, &parameters)
            .await
    }
}

fn encode(
    put: &PutWrites<'_>,
    writes: &[Numbered<'_>],
    cuts: &[Option<Cut>],
    view: Option<View>,
    is_stored: &dyn Fn(&ContentHash) -> bool,
) -> Result<Encoded> {
    let mut encoder = Encoder::new(&put.address.thread_id, is_stored);
    let (mut indexes, mut channels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (write, cut) in writes.iter().zip(cuts) {
        let mut value = Vec::new();
        let place = format!("the write to channel `{}`", write.channel);
        encoder.value(write.value, cut.as_ref(), &place, &mut value)?;
        indexes.push(write.idx);
        channels.push(write.channel.to_owned());
        values.push(value);
    }
    let lease = put.lease.map(|lease| lease.token.clone());
    let lock = match view {
        Some(view) => Lock::Known {
            view,
            relied: encoder.relied.iter().copied().collect(),
            lease,
        },
        // Writes that come before their checkpoint stay invisible until it comes, so a thread that
        // was started afresh will do.
        None => Lock::Any {
            restarted: true,
            restart: false,
            lease,
        },
    };
    let (hashes, chunks) = encoder.chunks.into_iter().unzip();
    Ok(Encoded {
        address: put.address.clone(),
        task_id: put.task_id.clone(),
        task_path: put.task_path.to_owned(),
        lock,
        hashes,
        chunks,
        indexes,
        channels,
        values,
    })
}

//! Storing the outputs of a task.

use std::collections::HashSet;
use std::sync::Arc;

use db::{Row, ToSql};

use super::Inner;
use super::cache::View;
use super::chunk::Reference;
use super::cut::Cut;
use super::encode::{Encoder, NewChunk};
use super::jsonb::Jsonb;
use super::lanes::{Outcome, Write};
use super::put::{Lock, MAX_ROUNDS, all, columns, deleted};
use super::retry::retry;
use crate::codec::ContentHash;
use crate::writes::{self, Numbered};
use crate::{CheckpointRef, Error, Generation, PutWrites, Result, TaskId, check};

/// A task's outputs, encoded for one state of their thread.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) config: CheckpointRef,
    pub(super) task_id: TaskId,
    pub(super) task_path: String,
    pub(super) lock: Lock,
    pub(super) hashes: Vec<ContentHash>,
    pub(super) chunks: Vec<NewChunk>,
    pub(super) indexes: Vec<i32>,
    pub(super) channels: Vec<String>,
    pub(super) values: Vec<Vec<u8>>,
}

impl Inner {
    pub(super) async fn put_writes(self: &Arc<Self>, put: PutWrites<'_>) -> Result<()> {
        self.check_open()?;
        check::put_writes(&put)?;
        let thread_id = &put.config.thread_id;
        let mut cut = Cut::default();
        let writes = writes::number(put.writes);
        let references: Vec<_> = writes.iter().map(|write| cut.write(write.value)).collect();
        let mut turn = self.order.shared(thread_id).await;
        let mut known = self.known(thread_id, put.config.generation, &cut);
        let mut look_first = known.is_none() && put.config.generation.is_some();
        for _ in 0..MAX_ROUNDS {
            if look_first {
                known = self
                    .view_for_writes(&put)
                    .await?
                    .map(|view| (view, HashSet::new()));
            }
            let encoded = encode(&put, &writes, &cut, &references, known.take())?;
            let outcome;
            (outcome, turn) = self.send(Write::Writes(encoded), turn).await?;
            if let Outcome::Stored(_) = outcome {
                return Ok(());
            }
            look_first = true;
        }
        Err(Error::Busy {
            thread_id: thread_id.clone(),
        })
    }

    /// Looks at the thread: its state, or none if there is no such thread yet.
    async fn view_for_writes(&self, put: &PutWrites<'_>) -> Result<Option<View>> {
        let config = put.config;
        let look = self
            .look(
                &config.thread_id,
                &config.checkpoint_ns,
                &config.checkpoint_id,
                None,
                put.lease,
            )
            .await?;
        if let Some(refusal) = look.refusal {
            return Err(refusal);
        }
        match look.thread {
            Some(seen) if seen.deleted => Err(deleted(&config.thread_id)),
            Some(seen)
                if config
                    .generation
                    .is_some_and(|Generation(read)| read != seen.view.generation) =>
            {
                Err(deleted(&config.thread_id))
            }
            Some(seen) => Ok(Some(seen.view)),
            None if config.generation.is_some() => Err(deleted(&config.thread_id)),
            None => Ok(None),
        }
    }

    /// Sends the writes as a statement of their own.
    pub(super) async fn send_writes(&self, put: &Encoded) -> Result<Option<Row>> {
        let lock = put.lock.parameters(&put.config.thread_id);
        let (contents, refs) = columns(&put.chunks);
        let values: Vec<Jsonb<'_>> = put.values.iter().map(|json| Jsonb(json)).collect();
        let hashes: Vec<&[u8]> = put.hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
        retry("put pending writes", || async {
            let rest: [&(dyn ToSql + Sync); 10] = [
                /* ns */ &put.config.checkpoint_ns.as_str(),
                /* id */ &put.config.checkpoint_id.as_str(),
                /* task_id */ &put.task_id.as_str(),
                /* task_path */ &put.task_path,
                /* hashes */ &hashes,
                /* contents */ &contents,
                /* refs */ &refs,
                /* indexes */ &put.indexes,
                /* channels */ &put.channels,
                /* values */ &values,
            ];
            let connection = self.database.get().await?;
            connection
                .query_opt(put.lock.statement(&self.sql.put_writes), &all(&lock, &rest))
                .await
        })
        .await
    }
}

fn encode(
    put: &PutWrites<'_>,
    writes: &[Numbered<'_>],
    cut: &Cut<'_>,
    references: &[Option<Reference>],
    known: Option<(View, HashSet<ContentHash>)>,
) -> Result<Encoded> {
    let nothing = HashSet::new();
    let mut encoder = Encoder::new(
        &put.config.thread_id,
        cut,
        known.as_ref().map_or(&nothing, |(_, stored)| stored),
    );
    let (mut indexes, mut channels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (write, reference) in writes.iter().zip(references) {
        let mut value = Vec::new();
        let place = format!("the write to channel `{}`", write.channel);
        encoder.value(write.value, reference.as_ref(), &place, &mut value)?;
        indexes.push(write.idx);
        channels.push(write.channel.to_owned());
        values.push(value);
    }
    let lease = put.lease.map(|lease| lease.token.clone());
    let lock = match known {
        Some((view, _)) => Lock::Known {
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
        config: put.config.clone(),
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

//! Reading one checkpoint.

use std::sync::Arc;

use db::Row;

use super::last_reads::{FoundList, Namespace, ReadLists};
use super::read::Read;
use super::sql::{HeldChunks, OneCheckpoint, Only};
use super::standby::Standby;
use super::store::Store;
use super::within::Within;
use crate::{CheckpointId, CheckpointTuple, GetTuple, Projection, Result};

/// What it is called in errors.
const OPERATION: &str = "get a checkpoint";

impl Store {
    /// Reads a checkpoint, and of its lists what wasn't read before.
    pub(super) async fn get_tuple(
        &self,
        query: &GetTuple,
        standby: Option<&Standby>,
    ) -> Result<Option<CheckpointTuple>> {
        let only = Only::of(&query.projection);
        let one = OneCheckpoint::of(query);
        let namespace = (query.thread_id.clone(), query.checkpoint_ns.clone());
        // Which one is the head only the primary knows, and whether there is no such checkpoint.
        let standby = standby.filter(|_| query.checkpoint_id.is_some());
        let from_standby = standby.map(Some).into_iter();
        for from in from_standby.chain([None]) {
            let view = self.chunks.view(&query.thread_id);
            let held = match query.projection {
                Projection::Metadata => Arc::default(),
                _ => self.last_reads.of(&namespace, view),
            };
            let named = held.named(&query.projection);
            let new = HeldChunks { held: &named };
            let asked = self.sql.get_tuple.with(((&only, &one), &new));
            let rows = self.read(OPERATION, from, asked).await?;
            if let Some(tuple) = self.tuple(&namespace, &query.projection, &rows, held)? {
                return Ok(Some(tuple));
            }
        }
        Ok(None)
    }

    /// Reads a checkpoint as it is stored, whatever was read before, and remembers nothing of it.
    pub(super) async fn get_tuple_as_stored(
        &self,
        query: &GetTuple,
    ) -> Result<Option<CheckpointTuple>> {
        let only = Only::of(&query.projection);
        let one = OneCheckpoint::of(query);
        let all = HeldChunks { held: &[] };
        let asked = self.sql.get_tuple.with(((&only, &one), &all));
        let rows = self.read(OPERATION, None, asked).await?;
        whole(&rows, &query.projection)
    }

    /// Puts the checkpoint together, and remembers its lists and what else the read has shown.
    fn tuple(
        &self,
        namespace: &Namespace,
        projection: &Projection,
        rows: &[Row],
        held: Arc<ReadLists>,
    ) -> Result<Option<CheckpointTuple>> {
        let mut seen = None;
        let read = Read::of(rows, projection, Some(&held), |thread_id, view, hashes| {
            seen = Some(view);
            self.chunks.note(thread_id, view, hashes);
        });
        let Read {
            mut tuples, lists, ..
        } = read?;
        let (Some(mut tuple), Some(view)) = (tuples.pop(), seen) else {
            return Ok(None);
        };
        let all = *projection == Projection::All;
        // What the server didn't send isn't noted yet if the thread's chunks were forgotten since it was read.
        let is_noted = |hash| self.chunks.has(&namespace.0, view, hash);
        let are_noted = lists.values().flat_map(FoundList::hashes).all(is_noted);
        let note = |hashes: &mut dyn Iterator<Item = _>| {
            if !are_noted {
                self.chunks.note(&namespace.0, view, hashes);
            }
        };
        let lists = self
            .last_reads
            .put_together(namespace.clone(), held, lists, view, all, note);
        for (channel, list) in lists {
            tuple.checkpoint.channel_values.insert_shared(channel, list);
        }
        Ok(Some(tuple))
    }
}

impl Within<'_> {
    /// Reads within a transaction of the caller's, what that has put included.
    pub(super) async fn get_tuple(&self, query: &GetTuple) -> Result<Option<CheckpointTuple>> {
        let only = Only::of(&query.projection);
        let one = OneCheckpoint::of(query);
        let all = HeldChunks { held: &[] };
        let asked = self.store.sql.get_tuple.with(((&only, &one), &all));
        let rows = self.query(OPERATION, asked).await?;
        whole(&rows, &query.projection)
    }
}

/// Puts the checkpoint together of the rows of a read that brings everything.
fn whole(rows: &[Row], projection: &Projection) -> Result<Option<CheckpointTuple>> {
    let read = Read::of(rows, projection, None, |_, _, _| {})?;
    Ok(read.tuples.into_iter().next_back())
}

impl<'a> OneCheckpoint<'a> {
    fn of(query: &'a GetTuple) -> Self {
        Self {
            thread_id: query.thread_id.as_str(),
            ns: query.checkpoint_ns.as_str(),
            id: query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        }
    }
}

//! The parameters of a statement for many writes: a column of each kind of row an array.

use db::ToSql;

use super::Write;
use crate::codec::ContentHash;
use crate::postgres::encode::NewChunk;
use crate::postgres::jsonb::Jsonb;
use crate::postgres::put::{self, Lock, columns};
use crate::postgres::put_writes;
use crate::{CheckpointId, ExpectedHead, ThreadId};

/// Writes as rows, in the order in which they are added: the first is call 1.
///
/// A row that belongs to a call says so. What it needs of the call's thread it repeats, so that the
/// server finds it by its key alone.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    calls: Calls<'a>,
    relied: Chunks<'a>,
    chunks: Chunks<'a>,
    contents: Vec<Option<Jsonb<'a>>>,
    refs: Vec<Option<&'a [u8]>>,
    puts: Puts<'a>,
    writes: Writes<'a>,
}

#[derive(Debug, Default)]
struct Calls<'a> {
    threads: Vec<&'a str>,
    generations: Vec<i64>,
    gcs: Vec<i64>,
    leases: Vec<Option<&'a str>>,
    put: Vec<bool>,
}

#[derive(Debug, Default)]
struct Chunks<'a> {
    calls: Vec<i64>,
    threads: Vec<&'a str>,
    hashes: Vec<&'a [u8]>,
}

#[derive(Debug, Default)]
struct Puts<'a> {
    calls: Vec<i64>,
    threads: Vec<&'a str>,
    namespaces: Vec<&'a str>,
    ids: Vec<&'a str>,
    parents: Vec<Option<&'a str>>,
    guarded: Vec<bool>,
    expected: Vec<Option<&'a str>>,
    checkpoints: Vec<Jsonb<'a>>,
    channels: Vec<Jsonb<'a>>,
    unchanged: Vec<Jsonb<'a>>,
    metadata: Vec<Jsonb<'a>>,
}

#[derive(Debug, Default)]
struct Writes<'a> {
    calls: Vec<i64>,
    threads: Vec<&'a str>,
    namespaces: Vec<&'a str>,
    ids: Vec<&'a str>,
    task_ids: Vec<&'a str>,
    task_paths: Vec<&'a str>,
    indexes: Vec<i32>,
    channels: Vec<&'a str>,
    values: Vec<Jsonb<'a>>,
}

impl<'a> Batch<'a> {
    /// Adds a write that knows its thread.
    pub(super) fn add(&mut self, write: &'a Write) {
        match write {
            Write::Put(put) => self.add_put(put),
            Write::Writes(writes) => self.add_writes(writes),
        }
    }

    fn add_put(&mut self, put: &'a put::Encoded) {
        let call = self.add_call(&put.thread_id, &put.lock, true);
        self.add_chunks(call, &put.thread_id, &put.hashes, &put.chunks);
        let (guarded, expected) = match &put.expected {
            ExpectedHead::Any => (false, None),
            ExpectedHead::Is(head) => (true, head.as_ref()),
        };
        let puts = &mut self.puts;
        puts.calls.push(call);
        puts.threads.push(put.thread_id.as_str());
        puts.namespaces.push(put.checkpoint_ns.as_str());
        puts.ids.push(put.checkpoint_id.as_str());
        puts.parents
            .push(put.parent.as_ref().map(CheckpointId::as_str));
        puts.guarded.push(guarded);
        puts.expected.push(expected.map(CheckpointId::as_str));
        puts.checkpoints.push(Jsonb(&put.checkpoint));
        puts.channels.push(Jsonb(&put.channels));
        puts.unchanged.push(Jsonb(&put.unchanged));
        puts.metadata.push(Jsonb(&put.metadata));
    }

    fn add_writes(&mut self, put: &'a put_writes::Encoded) {
        let address = &put.address;
        let call = self.add_call(&address.thread_id, &put.lock, false);
        self.add_chunks(call, &address.thread_id, &put.hashes, &put.chunks);
        let writes = &mut self.writes;
        for ((idx, channel), value) in put.indexes.iter().zip(&put.channels).zip(&put.values) {
            writes.calls.push(call);
            writes.threads.push(address.thread_id.as_str());
            writes.namespaces.push(address.checkpoint_ns.as_str());
            writes.ids.push(address.checkpoint_id.as_str());
            writes.task_ids.push(put.task_id.as_str());
            writes.task_paths.push(&put.task_path);
            writes.indexes.push(*idx);
            writes.channels.push(channel);
            writes.values.push(Jsonb(value));
        }
    }

    fn add_call(&mut self, thread_id: &'a ThreadId, lock: &'a Lock, put: bool) -> i64 {
        let calls = &mut self.calls;
        calls.threads.push(thread_id.as_str());
        calls.put.push(put);
        let call = i64::try_from(calls.threads.len()).unwrap_or(i64::MAX);
        // No thread is ever in the state of a write that knows none.
        calls
            .generations
            .push(lock.view().map_or(0, |view| view.generation));
        calls.gcs.push(lock.view().map_or(0, |view| view.gc));
        calls.leases.push(lock.lease());
        self.relied.add(call, thread_id, lock.relied());
        call
    }

    fn add_chunks(
        &mut self,
        call: i64,
        thread_id: &'a ThreadId,
        hashes: &'a [ContentHash],
        chunks: &'a [NewChunk],
    ) {
        self.chunks.add(call, thread_id, hashes);
        let (contents, refs) = columns(chunks);
        self.contents.extend(contents);
        self.refs.extend(refs);
    }

    /// The parameters, in the order of the statement.
    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let Self {
            calls,
            relied,
            chunks,
            contents,
            refs,
            puts,
            writes,
        } = self;
        vec![
            /* threads */ &calls.threads,
            /* generations */ &calls.generations,
            /* gcs */ &calls.gcs,
            /* leases */ &calls.leases,
            /* puts */ &calls.put,
            /* relied_calls */ &relied.calls,
            /* relied_threads */ &relied.threads,
            /* relied_hashes */ &relied.hashes,
            /* chunk_calls */ &chunks.calls,
            /* chunk_threads */ &chunks.threads,
            /* chunk_hashes */ &chunks.hashes,
            /* chunk_contents */ contents,
            /* chunk_refs */ refs,
            /* put_calls */ &puts.calls,
            /* put_threads */ &puts.threads,
            /* put_ns */ &puts.namespaces,
            /* put_ids */ &puts.ids,
            /* put_parents */ &puts.parents,
            /* put_guarded */ &puts.guarded,
            /* put_expected */ &puts.expected,
            /* put_checkpoints */ &puts.checkpoints,
            /* put_channels */ &puts.channels,
            /* put_unchanged */ &puts.unchanged,
            /* put_metadata */ &puts.metadata,
            /* write_calls */ &writes.calls,
            /* write_threads */ &writes.threads,
            /* write_ns */ &writes.namespaces,
            /* write_ids */ &writes.ids,
            /* write_tasks */ &writes.task_ids,
            /* write_paths */ &writes.task_paths,
            /* write_indexes */ &writes.indexes,
            /* write_channels */ &writes.channels,
            /* write_values */ &writes.values,
        ]
    }
}

impl<'a> Chunks<'a> {
    fn add(&mut self, call: i64, thread_id: &'a ThreadId, hashes: &'a [ContentHash]) {
        for hash in hashes {
            self.calls.push(call);
            self.threads.push(thread_id.as_str());
            self.hashes.push(hash.as_bytes());
        }
    }
}

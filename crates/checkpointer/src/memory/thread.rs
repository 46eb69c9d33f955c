//! What the store knows of one thread.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::containment::contains_values;
use super::lease::Leased;
use crate::prune::{Going, Namespaces, Node, Nodes, Removal, channels, going};
use crate::{
    ChannelHistory, ChannelValues, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs,
    CheckpointTuple, Generation, Loaded, Metadata, PendingWrite, Projection, Put, PutWrites,
    Removed, Result, TaskId, TaskOutputs, ThreadId, ThreadInfo, prune, writes,
};

/// A thread, what reminds of a deleted one, or what keeps the place of one that isn't there yet.
#[derive(Clone)]
pub(super) struct Thread {
    pub(super) generation: Generation,
    pub(super) deleted: bool,
    pub(super) created_at: SystemTime,
    pub(super) metadata: Map<String, Value>,
    pub(super) namespaces: BTreeMap<CheckpointNs, Namespace>,
    pub(super) leased: Leased,
}

/// The checkpoints of a thread in one namespace.
#[derive(Clone, Default)]
pub(super) struct Namespace {
    /// The checkpoint put last.
    pub(super) head: Option<CheckpointId>,
    /// When that one became the head.
    headed_at: Option<SystemTime>,
    /// How many checkpoints were ever put.
    seq: u64,
    pub(super) checkpoints: BTreeMap<CheckpointId, Stored>,
    /// The writes of each task by index; their checkpoint may come later.
    writes: BTreeMap<CheckpointId, BTreeMap<(TaskId, i32), Write>>,
}

#[derive(Clone)]
pub(super) struct Stored {
    seq: u64,
    pub(super) parent: Option<CheckpointId>,
    checkpoint: Checkpoint,
    pub(super) metadata: Metadata,
    put_at: SystemTime,
    pub(super) pinned: bool,
}

#[derive(Clone)]
struct Write {
    task_path: String,
    channel: String,
    value: Arc<Value>,
}

impl Thread {
    pub(super) fn new(generation: Generation, now: SystemTime) -> Self {
        Self {
            generation,
            deleted: false,
            created_at: now,
            metadata: Map::new(),
            namespaces: BTreeMap::new(),
            leased: Leased::default(),
        }
    }

    /// What keeps the place of a thread for the holder of a lease on it.
    pub(super) fn reserved(now: SystemTime) -> Self {
        Self {
            deleted: true,
            ..Self::new(Generation(1), now)
        }
    }

    /// Whether there is no such thread, nor was.
    pub(super) fn is_reserved(&self) -> bool {
        self.deleted && self.generation == Generation(1)
    }

    /// What is left of it once it is deleted: no state, no metadata.
    pub(super) fn tombstone(&self, now: SystemTime) -> Self {
        let next = Generation(self.generation.0 + 1);
        Self {
            deleted: true,
            leased: self.leased.clone(),
            ..Self::new(next, now)
        }
    }

    /// When a head changed last, of those that there are.
    pub(super) fn updated_at(&self) -> SystemTime {
        let changes = self
            .namespaces
            .values()
            .filter_map(|stored| stored.headed_at);
        changes.max().unwrap_or(self.created_at)
    }

    /// A copy, whose heads are new.
    pub(super) fn copy(&self, leased: Leased, now: SystemTime) -> Self {
        let mut namespaces = self.namespaces.clone();
        for stored in namespaces.values_mut() {
            stored.headed_at = stored.head.as_ref().map(|_| now);
        }
        Self {
            metadata: self.metadata.clone(),
            namespaces,
            leased,
            ..Self::new(Generation(1), now)
        }
    }

    pub(super) fn info(&self, thread_id: &ThreadId) -> ThreadInfo {
        let root = self.namespaces.get(&CheckpointNs::ROOT);
        ThreadInfo {
            thread_id: thread_id.clone(),
            metadata: self.metadata.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at(),
            head: root.and_then(|root| root.head.clone()),
            generation: self.generation,
        }
    }

    /// Changes metadata key by key; null removes a key.
    pub(super) fn update_metadata(&mut self, changes: &Map<String, Value>) {
        for (key, value) in changes {
            match value {
                Value::Null => self.metadata.remove(key),
                value => self.metadata.insert(key.clone(), value.clone()),
            };
        }
    }

    /// The heads of all namespaces.
    pub(super) fn heads(&self, thread_id: &ThreadId) -> Vec<CheckpointAddress> {
        let namespaces = self.namespaces.iter();
        let heads = namespaces.filter_map(|(ns, stored)| {
            Some(CheckpointAddress {
                thread_id: thread_id.clone(),
                checkpoint_ns: ns.clone(),
                checkpoint_id: stored.head.clone()?,
                generation: Some(self.generation),
            })
        });
        heads.collect()
    }

    /// Whether the state at the head of the root namespace contains this.
    pub(super) fn state_contains(&self, state: &Map<String, Value>) -> bool {
        let root = self.namespaces.get(&CheckpointNs::ROOT);
        let head = root.and_then(|root| root.checkpoints.get(root.head.as_ref()?));
        head.is_some_and(|head| contains_values(&head.checkpoint.channel_values, state))
    }

    fn has(&self, checkpoint_ns: &CheckpointNs, checkpoint_id: &str) -> bool {
        let stored = self.namespaces.get(checkpoint_ns);
        let mut ids = stored.into_iter().flat_map(|ns| ns.checkpoints.keys());
        ids.any(|id| id.as_str() == checkpoint_id)
    }

    /// Whether a put that doesn't know the generation can be of this one: it names a checkpoint
    /// that is stored, or is the first of a run.
    pub(super) fn may_hold(&self, put: &Put<'_>) -> bool {
        let ns = &*put.checkpoint_ns;
        if self.generation == Generation(1) || self.has(ns, put.checkpoint.id.as_str()) {
            return true;
        }
        match put.parent {
            Some(parent) => self.has(ns, parent.as_str()),
            None if ns.is_root() => true,
            None => put
                .metadata
                .parent_in(CheckpointNs::ROOT.as_str())
                .is_some_and(|root| self.has(&CheckpointNs::ROOT, root)),
        }
    }

    /// Whether it is there, in that generation if one is named.
    pub(super) fn is_in(&self, generation: Option<Generation>) -> bool {
        !self.deleted && generation.is_none_or(|named| named == self.generation)
    }

    /// Whether any namespace has a head.
    pub(super) fn has_head(&self) -> bool {
        self.namespaces.values().any(|stored| stored.head.is_some())
    }

    pub(super) fn has_pinned(&self) -> bool {
        let mut stored = (self.namespaces.values()).flat_map(|stored| stored.checkpoints.values());
        stored.any(|checkpoint| checkpoint.pinned)
    }

    /// How many checkpoints and pending writes there are, and how many bytes they have.
    pub(super) fn counts(&self) -> Removed {
        let mut counts = Removed::default();
        for stored in self.namespaces.values() {
            counts.checkpoints += stored.checkpoints.len() as u64;
            counts.bytes += (stored.checkpoints.values())
                .map(Stored::bytes)
                .sum::<u64>();
            for write in stored.writes.values().flat_map(BTreeMap::values) {
                counts.writes += 1;
                counts.bytes += json_bytes(&write.value);
            }
        }
        counts
    }

    /// What decides which checkpoints stay.
    pub(super) fn nodes(
        &self,
        is_young: impl Fn(SystemTime) -> bool,
        is_of_runs: impl Fn(&Metadata) -> bool,
    ) -> Namespaces {
        let namespaces = self.namespaces.iter().map(|(ns, stored)| {
            let namespace = prune::Namespace {
                head: stored.head.clone(),
                nodes: stored.nodes(&is_young, &is_of_runs),
            };
            (ns.clone(), namespace)
        });
        namespaces.collect()
    }

    /// Removes what goes.
    pub(super) fn remove(&mut self, going: &BTreeMap<CheckpointNs, Going>, now: SystemTime) {
        for (ns, stored) in &mut self.namespaces {
            if let Some(going) = going.get(ns)
                && going.goes.contains(&true)
            {
                stored.remove(&going.goes, now);
            }
        }
    }

    /// Removes the checkpoints of the runs.
    pub(super) fn delete_runs(&mut self, run_ids: &BTreeSet<&str>, now: SystemTime) {
        let of_runs = |metadata: &Metadata| {
            let run_id = metadata.run_id();
            run_id.is_some_and(|run_id| run_ids.contains(run_id))
        };
        let going = going(&mut self.nodes(|_| false, of_runs), Removal::Runs);
        self.remove(&going, now);
    }
}

impl Stored {
    fn bytes(&self) -> u64 {
        let metadata = Value::Object(self.metadata.as_map().clone());
        json_bytes(&self.checkpoint.to_json()) + json_bytes(&metadata)
    }
}

/// How long the text of a value is.
pub(super) fn json_bytes(value: &Value) -> u64 {
    value.to_string().len() as u64
}

impl Namespace {
    /// Whether the put is stored already, by an attempt whose outcome the caller didn't learn.
    pub(super) fn holds(&self, put: &Put<'_>) -> bool {
        let stored = self.checkpoints.get(&put.checkpoint.id);
        // A parent that was pruned since is forgotten.
        stored.is_some_and(|stored| stored.parent.is_none() || stored.parent.as_ref() == put.parent)
    }

    /// Whether there is a checkpoint whose values a put may keep: its parent, or itself.
    pub(super) fn has_values_for(&self, put: &Put<'_>) -> bool {
        let mut ids = put.parent.into_iter().chain([&put.checkpoint.id]);
        ids.any(|id| self.checkpoints.contains_key(id))
    }

    /// The values of the channels that a put appends to.
    pub(super) fn appended_values(&self, put: &Put<'_>) -> Result<ChannelValues> {
        let stored = |id| self.checkpoints.get(id).map(|stored| &stored.checkpoint);
        put.appended_values(put.parent.and_then(stored), stored(&put.checkpoint.id))
    }

    /// Stores a checkpoint, with lists that its channels grow to; returns whether that moved the head.
    pub(super) fn put(&mut self, put: &Put<'_>, lists: ChannelValues, now: SystemTime) -> bool {
        let id = &put.checkpoint.id;
        let known = self.checkpoints.get(id);
        let parent = known.map_or(put.parent, |known| known.parent.as_ref());
        // Of a checkpoint put again the parent may be pruned.
        let heirs_of: Vec<&Stored> = put
            .parent
            .and_then(|parent| self.checkpoints.get(parent))
            .into_iter()
            .chain(known)
            .collect();
        let mut checkpoint = put.checkpoint.clone();
        checkpoint.channel_values.extend(lists);
        for (channel, version) in put.unchanged() {
            let value = heirs_of
                .iter()
                .map(|stored| &stored.checkpoint)
                .filter(|from| {
                    let before = from.channel_versions.get(channel);
                    before.is_some_and(|before| before.is_same(version))
                })
                .find_map(|from| from.channel_values.get_shared(channel));
            if let Some(value) = value {
                let values = &mut checkpoint.channel_values;
                values.insert_shared(channel.clone(), Arc::clone(value));
            }
        }
        let is_new = known.is_none();
        if is_new {
            self.seq += 1;
            self.head = Some(id.clone());
            self.headed_at = Some(now);
        }
        let stored = Stored {
            seq: known.map_or(self.seq, |known| known.seq),
            parent: parent.cloned(),
            checkpoint,
            metadata: put.metadata.clone(),
            put_at: known.map_or(now, |known| known.put_at),
            pinned: known.is_some_and(|known| known.pinned),
        };
        self.checkpoints.insert(id.clone(), stored);
        is_new
    }

    /// Stores the outputs of a task, as far as none are stored already.
    pub(super) fn put_writes(&mut self, put: &PutWrites<'_>, outputs: TaskOutputs) {
        let of_checkpoint = self.writes.entry(put.address.checkpoint_id.clone());
        let stored = of_checkpoint.or_default();
        let is_later = stored.contains_key(&(put.task_id.clone(), 0));
        let is_stored = |stored: &BTreeMap<(TaskId, i32), Write>, idx| match outputs {
            TaskOutputs::OfFirstCall => is_later,
            TaskOutputs::ByPosition => stored.contains_key(&(put.task_id.clone(), idx)),
        };
        for write in writes::number(put.writes) {
            if write.is_regular() && is_stored(stored, write.idx) {
                continue;
            }
            let value = Arc::new(write.value.clone());
            // A write that is replaced keeps its task path.
            stored
                .entry((put.task_id.clone(), write.idx))
                .and_modify(|written| written.value = Arc::clone(&value))
                .or_insert_with(|| Write {
                    task_path: put.task_path.to_owned(),
                    channel: write.channel.to_owned(),
                    value,
                });
        }
    }

    /// The values of a checkpoint.
    pub(super) fn values_at(&self, id: &CheckpointId) -> Option<&ChannelValues> {
        let stored = self.checkpoints.get(id);
        stored.map(|stored| &stored.checkpoint.channel_values)
    }

    /// All values with their channels.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        let stored = self.checkpoints.values();
        let stored = stored.flat_map(|stored| &stored.checkpoint.channel_values);
        let stored = stored.map(|(channel, value)| (channel.as_str(), value));
        let writes = self.writes.values().flat_map(BTreeMap::values);
        stored.chain(writes.map(|write| (write.channel.as_str(), &*write.value)))
    }

    /// How long the text of the checkpoints and of their metadata is, without the values.
    pub(super) fn bytes_besides_values(&self) -> u64 {
        let stored = self.checkpoints.values();
        let bytes = stored.map(|stored| {
            let mut checkpoint = stored.checkpoint.clone();
            checkpoint.channel_values.clear();
            let metadata = Value::Object(stored.metadata.as_map().clone());
            json_bytes(&checkpoint.to_json()) + json_bytes(&metadata)
        });
        bytes.sum()
    }

    /// Drops the writes to a checkpoint that will never come.
    pub(super) fn drop_writes(&mut self, checkpoint_id: &CheckpointId) {
        self.writes.remove(checkpoint_id);
    }

    /// The writes of a checkpoint by task path, task and index, as far as they are for a channel that
    /// is wanted.
    fn pending_writes(
        &self,
        checkpoint_id: &CheckpointId,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Vec<PendingWrite> {
        let writes = self.writes.get(checkpoint_id).into_iter().flatten();
        let writes = writes.filter(|(_, write)| is_wanted(&write.channel));
        let mut writes: Vec<_> = writes.collect();
        // By task and index they are sorted already, and the sort is stable.
        writes.sort_by_key(|(_, write)| &write.task_path);
        let pending = writes
            .into_iter()
            .map(|((task_id, idx), write)| PendingWrite {
                task_path: write.task_path.clone(),
                idx: *idx,
                ..PendingWrite::new(task_id.clone(), &write.channel, Arc::clone(&write.value))
            });
        pending.collect()
    }

    /// Reads a checkpoint; `address` addresses it.
    pub(super) fn tuple(
        &self,
        address: CheckpointAddress,
        projection: &Projection,
    ) -> Option<CheckpointTuple> {
        let id = &address.checkpoint_id;
        let stored = self.checkpoints.get(id)?;
        let (checkpoint, pending_writes) = match projection {
            Projection::All => {
                let pending_writes = self.pending_writes(id, |_| true);
                (stored.checkpoint.clone(), pending_writes)
            }
            Projection::Channels(channels) => {
                let mut checkpoint = stored.checkpoint.clone();
                let values = &mut checkpoint.channel_values;
                values.retain(|channel, _| channels.contains(channel));
                (checkpoint.with_loaded(Loaded::SomeChannels), Vec::new())
            }
            Projection::Metadata => {
                let mut checkpoint = Checkpoint::new(id.clone());
                checkpoint.v = stored.checkpoint.v;
                checkpoint.ts.clone_from(&stored.checkpoint.ts);
                (checkpoint.with_loaded(Loaded::Nothing), Vec::new())
            }
        };
        let parent = stored.parent.clone();
        Some(CheckpointTuple {
            parent_address: parent.map(|parent| address.sibling(parent)),
            pending_writes,
            pinned: stored.pinned,
            ..CheckpointTuple::new(address, checkpoint, stored.metadata.clone())
        })
    }

    /// The writes to a channel before a checkpoint, back to the nearest stored value.
    pub(super) fn history(&self, target: &CheckpointId, channel: &str) -> ChannelHistory {
        let mut steps = Vec::new();
        let mut seed = None;
        for (id, stored) in self.ancestors(target) {
            steps.push(self.pending_writes(id, |written| written == channel));
            let values = &stored.checkpoint.channel_values;
            seed = values.get_shared(channel).cloned();
            if seed.is_some() {
                break;
            }
        }
        let writes = steps.into_iter().rev().flatten().collect();
        ChannelHistory { writes, seed }
    }

    /// Walks from the parent of `id` to the first checkpoint; stored links may form a ring.
    fn ancestors(&self, id: &CheckpointId) -> impl Iterator<Item = (&CheckpointId, &Stored)> {
        let parent_of = |id: &CheckpointId| {
            let parent = self.checkpoints.get(id)?.parent.as_ref()?;
            self.checkpoints.get_key_value(parent)
        };
        let mut seen = BTreeSet::from([id.clone()]);
        iter::successors(parent_of(id), move |(id, _)| parent_of(id))
            .take_while(move |(id, _)| seen.insert((*id).clone()))
    }

    fn nodes(
        &self,
        is_young: impl Fn(SystemTime) -> bool,
        is_of_runs: impl Fn(&Metadata) -> bool,
    ) -> Nodes {
        let nodes = self.checkpoints.iter().map(|(id, stored)| {
            let checkpoint = &stored.checkpoint;
            let values = &checkpoint.channel_values;
            let versions = checkpoint.channel_versions.keys();
            let writes = self.writes.get(id).into_iter().flatten();
            let root = stored.metadata.parent_in(CheckpointNs::ROOT.as_str());
            let node = Node {
                parent: stored.parent.clone(),
                seq: stored.seq as i64,
                filled: channels(values.keys()),
                empty: channels(versions.filter(|name| !values.contains_key(name))),
                written: channels(writes.map(|(_, write)| &write.channel)),
                reads_sends_of_parent: checkpoint.v < Checkpoint::CURRENT_V,
                root: root.map(str::to_owned),
                pinned: stored.pinned,
                young: is_young(stored.put_at),
                of_runs: is_of_runs(&stored.metadata),
            };
            (id.clone(), node)
        });
        nodes.collect()
    }

    /// Removes the checkpoints that go, with their writes.
    fn remove(&mut self, goes: &[bool], now: SystemTime) {
        let mut goes = goes.iter();
        let (removed, kept) = std::mem::take(&mut self.checkpoints)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|_| goes.next() == Some(&true));
        self.checkpoints = kept;
        self.writes.retain(|id, _| !removed.contains_key(id));
        for stored in self.checkpoints.values_mut() {
            // A parent that was never stored may still come.
            stored.parent.take_if(|parent| removed.contains_key(parent));
        }
        let last = self.checkpoints.iter().max_by_key(|(_, stored)| stored.seq);
        let head = last.map(|(id, _)| id.clone());
        if head != self.head {
            self.headed_at = head.as_ref().map(|_| now);
            self.head = head;
        }
    }
}

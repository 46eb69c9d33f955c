//! Random operations on a checkpointer and on a [`MemoryCheckpointer`], compared after each.

use std::fmt::Debug;

use checkpointer::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple,
    Checkpointer, DeleteThread, ExpectedHead, Generation, GetChannelHistory, GetTuple, List,
    ListThreads, MemoryCheckpointer, Metadata, Projection, Prune, PruneStrategy, Put, PutWrites,
    Removed, Result, Retention, Source, TaskId, ThreadId, ThreadInfo, Version,
};
use fastrand::Rng;
use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};

use crate::step::{fresh_thread, fresh_word};

/// Carries out so many operations, which `seed` chooses.
///
/// # Panics
///
/// Panics at the first answer that differs, and names the seed and the operations before it.
pub async fn carry_out(checkpointer: &dyn Checkpointer, seed: u64, steps: usize) {
    let mut both = Both::new(checkpointer, seed);
    for step in 0..steps {
        both.step(step).await;
    }
    both.compare_all("at the end").await;
}

/// A checkpointer and its model.
struct Both<'a> {
    subject: &'a dyn Checkpointer,
    model: MemoryCheckpointer,
    rng: Rng,
    seed: u64,
    threads: Vec<ThreadId>,
    runs: Vec<String>,
    /// What the metadata of each thread says that has some: the tables may hold other threads.
    word: String,
    /// What was put, also what is gone since.
    put: Vec<CheckpointAddress>,
    log: Vec<String>,
}

/// A put, owned.
#[derive(Debug)]
struct Made {
    thread_id: ThreadId,
    checkpoint_ns: CheckpointNs,
    parent: Option<CheckpointId>,
    generation: Option<Generation>,
    checkpoint: Checkpoint,
    metadata: Metadata,
    new_versions: ChannelVersions,
    /// What is appended to the channel `list`, after how many items.
    appended: Option<(usize, Vec<Value>)>,
    expected_head: ExpectedHead,
}

impl Made {
    async fn send(&self, to: &dyn Checkpointer) -> Result<CheckpointAddress> {
        let mut put = Put::new(&self.thread_id, &self.checkpoint, &self.metadata)
            .in_ns(&self.checkpoint_ns)
            .new_versions(&self.new_versions);
        put.parent = self.parent.as_ref();
        put.generation = self.generation;
        put.expected_head = self.expected_head.clone();
        if let Some((after, items)) = &self.appended {
            put = put.append("list", *after, items);
        }
        to.put(put).await
    }
}

impl<'a> Both<'a> {
    fn new(subject: &'a dyn Checkpointer, seed: u64) -> Self {
        Self {
            subject,
            model: MemoryCheckpointer::new(),
            rng: Rng::with_seed(seed),
            seed,
            threads: (0..3).map(|_| fresh_thread()).collect(),
            runs: (0..3).map(|_| fresh_word()).collect(),
            word: fresh_word(),
            put: Vec::new(),
            log: Vec::new(),
        }
    }

    async fn step(&mut self, step: usize) {
        match self.rng.u8(..100) {
            ..50 => self.put().await,
            50..70 => self.put_writes().await,
            70..76 => self.prune().await,
            76..80 => self.delete_thread().await,
            80..83 => self.delete_for_runs().await,
            83..87 => self.copy_thread().await,
            87..90 => self.set_thread_metadata().await,
            90..95 => self.channel_history().await,
            _ => self.list().await,
        }
        if step.is_multiple_of(50) {
            self.compare_all("now and then").await;
        }
    }

    /// Compares two answers, errors by their texts.
    #[track_caller]
    fn compare<T: Debug + PartialEq>(
        &mut self,
        what: String,
        subject: Result<T>,
        model: Result<T>,
    ) {
        self.log.push(what);
        let subject = subject.map_err(|error| error.to_string());
        let model = model.map_err(|error| error.to_string());
        assert!(
            subject == model,
            "seed {}: after\n{}\nthe answer is\n{subject:?}\nbut should be\n{model:?}",
            self.seed,
            self.log[self.log.len().saturating_sub(12)..].join("\n"),
        );
    }

    fn thread(&mut self) -> ThreadId {
        self.threads[self.rng.usize(..self.threads.len())].clone()
    }

    fn ns(&mut self) -> CheckpointNs {
        let name = *self.rng.choice(&["", "", "", "sub", "sub:1"]).unwrap();
        CheckpointNs::new(name).unwrap()
    }

    /// A checkpoint that was put in a thread and namespace, or none.
    fn one_of(&mut self, thread_id: &ThreadId, ns: &CheckpointNs) -> Option<CheckpointAddress> {
        let here = |address: &&CheckpointAddress| {
            address.thread_id == *thread_id && address.checkpoint_ns == *ns
        };
        let here: Vec<_> = self.put.iter().filter(here).cloned().collect();
        // The latest more often than the others.
        let at = here.len().checked_sub(1 + self.rng.usize(..4))?;
        here.get(at).cloned()
    }

    async fn head(&self, thread_id: &ThreadId, ns: &CheckpointNs) -> Option<CheckpointTuple> {
        let query = GetTuple::head(thread_id).unwrap().in_ns(ns);
        self.model.get_tuple(query).await.unwrap()
    }

    async fn put(&mut self) {
        let (thread_id, ns) = (self.thread(), self.ns());
        let parent = self.one_of(&thread_id, &ns);
        let before = match &parent {
            Some(parent) => self.model.get_tuple(GetTuple::at(parent)).await.unwrap(),
            None => None,
        };
        let again = self.rng.u8(..10) == 0;
        let id = match (again, self.one_of(&thread_id, &ns)) {
            (true, Some(again)) => again.checkpoint_id,
            _ => CheckpointId::generate(parent.as_ref().map(|parent| &parent.checkpoint_id)),
        };
        let head = self.head(&thread_id, &ns).await;
        let (expected_head, generation) = self.guard(head.as_ref(), parent.as_ref());
        let (mut checkpoint, new_versions) = self.checkpoint(id, before.as_ref());
        let appended = self.grow(&mut checkpoint, parent.is_some(), before.as_ref());
        let made = Made {
            parent: parent.map(|parent| parent.checkpoint_id),
            metadata: self.metadata(),
            thread_id,
            checkpoint_ns: ns,
            generation,
            checkpoint,
            new_versions,
            appended,
            expected_head,
        };
        let (subject, model) = (made.send(self.subject).await, made.send(&self.model).await);
        self.put.extend(subject.as_ref().ok().cloned());
        self.compare(format!("{made:?}"), subject, model);
    }

    /// A guard brings the generation: without it, which of two refusals a late put gets depends on
    /// what a checkpointer remembers.
    fn guard(
        &mut self,
        head: Option<&CheckpointTuple>,
        parent: Option<&CheckpointAddress>,
    ) -> (ExpectedHead, Option<Generation>) {
        let generation = parent.and_then(|parent| parent.generation);
        match self.rng.u8(..6) {
            0 | 1 => (ExpectedHead::Any, None),
            2 | 3 => (ExpectedHead::Any, generation),
            4 => {
                let head = head.map(|head| head.address.checkpoint_id.clone());
                (ExpectedHead::Is(head), generation)
            }
            _ => {
                let wrong = parent.map(|parent| parent.checkpoint_id.clone());
                (ExpectedHead::Is(wrong), generation)
            }
        }
    }

    fn checkpoint(
        &mut self,
        id: CheckpointId,
        before: Option<&CheckpointTuple>,
    ) -> (Checkpoint, ChannelVersions) {
        let mut checkpoint = Checkpoint::new(id);
        let mut changed = ChannelVersions::new();
        for channel in ["a", "b", "c"] {
            let channel = channel.to_owned();
            let version =
                before.and_then(|before| before.checkpoint.channel_versions.get(&channel));
            match (self.rng.u8(..4), version) {
                // It keeps its parent's value.
                (0 | 1, Some(version)) => {
                    checkpoint.channel_versions.insert(channel, version.clone());
                }
                (0..3, _) => {
                    let version = Version::from(self.rng.i64(1..4));
                    checkpoint
                        .channel_versions
                        .insert(channel.clone(), version.clone());
                    changed.insert(channel.clone(), version);
                    checkpoint.channel_values.insert(channel, self.value());
                }
                _ => {}
            }
        }
        (checkpoint, changed)
    }

    /// Writes to the channel `list`: a list that is kept, replaced, left out or appended to. Returns what
    /// is appended, and after how many items.
    fn grow(
        &mut self,
        checkpoint: &mut Checkpoint,
        has_parent: bool,
        before: Option<&CheckpointTuple>,
    ) -> Option<(usize, Vec<Value>)> {
        let before = before.map(|before| &before.checkpoint);
        let version = before.and_then(|before| before.channel_versions.get("list").cloned());
        let list = before.and_then(|before| before.channel_values.get("list"));
        let len = list.and_then(Value::as_array).map_or(0, Vec::len);
        let versions = &mut checkpoint.channel_versions;
        match (self.rng.u8(..10), version) {
            (0, Some(version)) => {
                versions.insert("list".to_owned(), version);
                None
            }
            (1, _) => None,
            (2, _) => {
                let value = self.value();
                let values = &mut checkpoint.channel_values;
                values.insert("list".to_owned(), value);
                None
            }
            _ => {
                versions.insert("list".to_owned(), Version::from(self.rng.i64(1..100)));
                let is_wrong = has_parent && self.rng.u8(..16) == 0;
                let items = (0..self.rng.usize(..4)).map(|_| self.item()).collect();
                Some((len + usize::from(is_wrong), items))
            }
        }
    }

    /// An item of a list, now and then a long one.
    fn item(&mut self) -> Value {
        let bytes = match self.rng.u8(..8) {
            0 => self.rng.usize(..4000),
            _ => self.rng.usize(..400),
        };
        json!({ "text": "x".repeat(bytes), "n": self.rng.u8(..) })
    }

    /// A value, now and then one that is large.
    fn value(&mut self) -> Value {
        match self.rng.u8(..4) {
            0 => (0..200)
                .map(|n| json!({ "n": n, "text": "x".repeat(self.rng.usize(20..40)) }))
                .collect(),
            _ => self.rng.u8(..).into(),
        }
    }

    fn metadata(&mut self) -> Metadata {
        let metadata = Metadata::new(Source::Loop, self.rng.i64(..3));
        match self.rng.usize(..5) {
            run if run < self.runs.len() => metadata.with("run_id", self.runs[run].as_str()),
            _ => metadata,
        }
    }

    async fn put_writes(&mut self) {
        let (thread_id, ns) = (self.thread(), self.ns());
        let at = self.one_of(&thread_id, &ns);
        let mut at = at.unwrap_or_else(|| {
            let id = CheckpointId::generate(None);
            CheckpointAddress::new(&thread_id, id).unwrap().in_ns(&ns)
        });
        if self.rng.bool() {
            at.generation = None;
        }
        let task = TaskId::new(format!("task-{}", self.rng.u8(..3))).unwrap();
        let channels = ["a", "b", "__error__", "__resume__"];
        let writes: Vec<(String, Value)> = (0..self.rng.usize(1..4))
            .map(|_| (channels[self.rng.usize(..4)].to_owned(), self.value()))
            .collect();
        let put = PutWrites::new(&at, &task, &writes);
        let subject = self.subject.put_writes(put.clone()).await;
        let model = self.model.put_writes(put).await;
        self.compare(
            format!("writes {at:?} {task} {}", writes.len()),
            subject,
            model,
        );
    }

    async fn prune(&mut self) {
        let thread_id = self.thread();
        let prune = Prune::new([&thread_id], PruneStrategy::KeepLatest).unwrap();
        let subject = self.subject.prune(prune.clone()).await;
        let model = self.model.prune(prune).await;
        self.compare(
            format!("prune {thread_id}"),
            subject.map(counts),
            model.map(counts),
        );
    }

    async fn delete_thread(&mut self) {
        let thread_id = self.thread();
        let mut delete = DeleteThread::new(&thread_id).unwrap();
        if self.rng.bool() {
            let at = self.one_of(&thread_id, &CheckpointNs::ROOT);
            delete.generation = at.and_then(|at| at.generation);
        }
        let subject = self.subject.delete_thread(delete.clone()).await;
        let model = self.model.delete_thread(delete.clone()).await;
        self.compare(format!("{delete:?}"), subject, model);
    }

    async fn delete_for_runs(&mut self) {
        let run = [self.runs[self.rng.usize(..self.runs.len())].clone()];
        let subject = self.subject.delete_for_runs(&run).await;
        let model = self.model.delete_for_runs(&run).await;
        self.compare(
            format!("delete {run:?}"),
            subject.map(counts),
            model.map(counts),
        );
    }

    async fn copy_thread(&mut self) {
        let source = self.thread();
        // Now and then a new one.
        if self.threads.len() < 8 {
            self.threads.push(fresh_thread());
        }
        let target = self.thread();
        let subject = self.subject.copy_thread(&source, &target).await;
        let model = self.model.copy_thread(&source, &target).await;
        self.compare(format!("copy {source} to {target}"), subject, model);
    }

    async fn set_thread_metadata(&mut self) {
        let thread_id = self.thread();
        let metadata = Map::from_iter([
            ("n".to_owned(), self.rng.u8(..).into()),
            ("word".to_owned(), self.word.clone().into()),
        ]);
        let subject = self
            .subject
            .set_thread_metadata(&thread_id, metadata.clone());
        let subject = subject.await;
        let model = self.model.set_thread_metadata(&thread_id, metadata).await;
        self.compare(format!("metadata of {thread_id}"), subject, model);
    }

    async fn channel_history(&mut self) {
        let (thread_id, ns) = (self.thread(), self.ns());
        let target = match self.one_of(&thread_id, &ns) {
            Some(at) => GetTuple::at(&at),
            None => GetTuple::head(&thread_id).unwrap().in_ns(&ns),
        };
        let query = GetChannelHistory::new(target, ["a", "b"]).unwrap();
        let subject = self.subject.channel_history(query.clone()).await;
        let model = self.model.channel_history(query.clone()).await;
        self.compare(format!("{query:?}"), subject, model);
    }

    async fn list(&mut self) {
        let thread_id = self.thread();
        let mut list = List::thread(&thread_id).unwrap().limit(self.rng.usize(..4));
        list.before = self
            .one_of(&thread_id, &CheckpointNs::ROOT)
            .map(|at| at.checkpoint_id);
        if self.rng.bool() {
            list = list.in_ns(self.ns());
        }
        if self.rng.bool() {
            list = list.project(Projection::Metadata);
        }
        self.compare_list(list).await;
    }

    async fn compare_list(&mut self, list: List) {
        let subject = self
            .subject
            .list(list.clone())
            .try_collect::<Vec<_>>()
            .await;
        let model = self.model.list(list.clone()).try_collect::<Vec<_>>().await;
        self.compare(format!("{list:?}"), subject, model);
    }

    /// Compares the threads that have metadata, in their order.
    async fn compare_threads(&mut self, list: ListThreads) {
        let word = Map::from_iter([("word".to_owned(), self.word.clone().into())]);
        let list = list.filter(word);
        let subject = self.subject.threads(list.clone());
        let subject = subject.map_ok(without_times).try_collect::<Vec<_>>().await;
        let model = self.model.threads(list.clone());
        let model = model.map_ok(without_times).try_collect::<Vec<_>>().await;
        self.compare(format!("{list:?}"), subject, model);
    }

    /// Compares what a policy would remove.
    async fn compare_dry_run(&mut self, thread_id: &ThreadId) {
        let policy = PruneStrategy::Keep(Retention::keep_last(2).fork_tips());
        let prune = Prune::new([thread_id], policy).unwrap().dry_run(true);
        let subject = self.subject.prune(prune.clone()).await;
        let model = self.model.prune(prune).await;
        self.compare(
            format!("a dry run on {thread_id}"),
            subject.map(counts),
            model.map(counts),
        );
    }

    /// Compares all that is stored of the threads, their heads and their order, and what a policy
    /// would remove.
    async fn compare_all(&mut self, when: &str) {
        self.compare_threads(ListThreads::all()).await;
        self.compare_threads(ListThreads::all().oldest_first())
            .await;
        for thread_id in self.threads.clone() {
            self.compare_list(List::thread(&thread_id).unwrap()).await;
            self.compare_dry_run(&thread_id).await;
            let subject = self.subject.thread_info(&thread_id).await;
            let model = self.model.thread_info(&thread_id).await;
            self.compare(
                format!("what is known of {thread_id}"),
                subject.map(|info| info.map(without_times)),
                model.map(|info| info.map(without_times)),
            );
            for ns in ["", "sub", "sub:1"] {
                let query = GetTuple::head(&thread_id).unwrap();
                let query = query.in_ns(CheckpointNs::new(ns).unwrap());
                let subject = self.subject.get_tuple(query.clone()).await;
                let model = self.model.get_tuple(query).await;
                self.compare(format!("head of {thread_id} {ns}, {when}"), subject, model);
            }
        }
    }
}

/// A thread without its times, which come from two clocks.
fn without_times(
    thread: ThreadInfo,
) -> (
    ThreadId,
    Generation,
    Option<CheckpointId>,
    Map<String, Value>,
) {
    (
        thread.thread_id,
        thread.generation,
        thread.head,
        thread.metadata,
    )
}

/// What a removal has come to, in a form that can be compared.
fn counts(removed: Removed) -> (u64, u64, u64, Vec<String>) {
    let failed = removed.failed.iter().map(|failed| failed.error.to_string());
    let counts = (removed.checkpoints, removed.writes, removed.threads);
    (counts.0, counts.1, counts.2, failed.collect())
}

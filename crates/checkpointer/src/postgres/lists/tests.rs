#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use serde_json::{Value, json};

use super::{Growing, Lists};
use crate::postgres::cut::List;
use crate::postgres::view::View;
use crate::{Checkpoint, CheckpointId, Generation, Metadata, Put, ThreadId, Version};

const VIEW: View = View {
    generation: 1,
    gc: 0,
};

/// Puts that append to the channel `list` of a thread.
struct Thread {
    id: ThreadId,
    last: Checkpoint,
    metadata: Metadata,
}

impl Thread {
    fn new(name: &str) -> Self {
        Self {
            id: ThreadId::new(name).unwrap(),
            last: Checkpoint::new(CheckpointId::generate(None)),
            metadata: Metadata::default(),
        }
    }

    /// Stores a checkpoint with a list.
    fn begin(&self, lists: &Lists, list: Value) {
        let put = Put::new(&self.id, &self.last, &self.metadata).append("list", 0, &[]);
        let mut growing = lists.take(&put);
        assert!(growing.appended().is_none());
        growing.take_read([("list".to_owned(), list)].into());
        keep(lists, &put, growing);
    }

    /// Whether the lists are known to a put that appends to the last checkpoint; stores it if so.
    fn appends(&mut self, lists: &Lists, after: usize) -> bool {
        let next = Checkpoint::new(CheckpointId::generate(Some(&self.last.id)));
        let items = [json!("item")];
        let put = Put::new(&self.id, &next, &self.metadata)
            .parent(&self.last.id)
            .generation(Generation(1))
            .append("list", after, &items);
        let growing = lists.take(&put);
        let Some(appended) = growing.appended() else {
            return false;
        };
        assert_eq!(appended["list"].len(), after + 1);
        keep(lists, &put, growing);
        self.last = next;
        true
    }
}

fn keep(lists: &Lists, put: &Put<'_>, growing: Growing) {
    let (ns, id) = (&put.checkpoint_ns, &put.checkpoint.id);
    lists.keep(put.thread_id, ns, id, VIEW, growing);
}

fn items(count: usize) -> Value {
    (0..count)
        .map(|n| json!({ "n": n, "text": "x".repeat(100) }))
        .collect()
}

#[test]
fn a_list_is_known_at_the_checkpoint_put_last_only() {
    let lists = Lists::new(usize::MAX);
    for count in [0, 3, 200] {
        let mut thread = Thread::new("thread");
        thread.begin(&lists, items(count));
        let first = thread.last.clone();
        assert!(thread.appends(&lists, count));
        assert!(thread.appends(&lists, count + 1));
        assert!(!thread.appends(&lists, count), "of another length");
        assert!(!thread.appends(&lists, count + 2), "it was taken out");
        thread.begin(&lists, items(count));
        thread.last = first;
        assert!(!thread.appends(&lists, count), "of another checkpoint");
        assert_eq!(lists.lock().bytes, 0);
    }
}

#[test]
fn a_put_that_is_not_stored_leaves_nothing() {
    let lists = Lists::new(usize::MAX);
    let mut thread = Thread::new("thread");
    thread.begin(&lists, items(3));
    let next = Checkpoint::new(CheckpointId::generate(None));
    lists.take(&Put::new(&thread.id, &next, &thread.metadata).parent(&thread.last.id));
    assert!(!thread.appends(&lists, 3));
    thread.begin(&lists, items(3));
    lists.forget(&thread.id);
    assert!(!thread.appends(&lists, 3));
    assert_eq!(lists.lock().bytes, 0);
}

#[test]
fn a_list_of_another_generation_is_not_known() {
    let lists = Lists::new(usize::MAX);
    let thread = Thread::new("thread");
    thread.begin(&lists, items(3));
    let next = Checkpoint::new(CheckpointId::generate(None));
    let put = Put::new(&thread.id, &next, &thread.metadata)
        .parent(&thread.last.id)
        .generation(Generation(2))
        .append("list", 3, &[]);
    assert!(lists.take(&put).appended().is_none());
}

#[test]
fn a_step_without_it_keeps_a_list_of_the_same_version() {
    let lists = Lists::new(usize::MAX);
    for (version, is_kept) in [(1, true), (2, false)] {
        let mut thread = Thread::new("thread");
        let versions = |version| [("list".to_owned(), Version::Int(version))].into();
        thread.last.channel_versions = versions(1);
        thread.begin(&lists, items(100));
        let mut next = Checkpoint::new(CheckpointId::generate(None));
        next.channel_versions = versions(version);
        let put = Put::new(&thread.id, &next, &thread.metadata).parent(&thread.last.id);
        let growing = lists.take(&put);
        keep(&lists, &put, growing);
        thread.last = next;
        assert_eq!(thread.appends(&lists, 100), is_kept);
        lists.forget(&thread.id);
    }
}

#[test]
fn what_is_remembered_is_bounded_and_the_thread_used_longest_ago_goes_first() {
    let lists = Lists::new(usize::MAX);
    Thread::new("one").begin(&lists, items(200));
    let one = lists.lock().bytes;
    assert!(one < 200 * 100);
    let lists = Lists::new(2 * one + one / 2);
    let mut threads = ["a", "b", "c", "d"].map(Thread::new);
    for thread in &threads {
        thread.begin(&lists, items(200));
    }
    let known = threads.each_mut().map(|thread| thread.appends(&lists, 200));
    assert_eq!(known, [false, false, true, true]);
    let lists = Lists::new(0);
    threads[0].begin(&lists, items(200));
    assert!(!threads[0].appends(&lists, 200));
    assert_eq!(lists.lock().bytes, 0);
}

#[test]
fn a_list_that_exceeds_all_room_displaces_no_other() {
    let lists = Lists::new(64 << 10);
    let [mut one, mut other] = ["one", "other"].map(Thread::new);
    one.begin(&lists, items(200));
    other.begin(&lists, json!(["short", "x".repeat(1 << 20)]));
    assert!(!other.appends(&lists, 2));
    assert!(one.appends(&lists, 200));
}

#[test]
fn a_list_in_memory_is_as_long_as_it_says() {
    let list = List::of(items(200)).stored().append(&[json!(1), json!(2)]);
    assert_eq!(list.len(), 202);
    assert_eq!(list.stored().append(&[]).len(), 202);
}

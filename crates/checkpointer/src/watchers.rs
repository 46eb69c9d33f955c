//! Who watches, and what each of them hasn't taken yet.
//!
//! Both checkpointers tell their changes by it. It knows no store.

mod mailbox;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::Notify;

use crate::{Error, HeadChange, Result, ThreadId, Watch};
pub(crate) use mailbox::Mailbox;

/// The watchers of one checkpointer.
#[derive(Default)]
pub(crate) struct Watchers {
    /// How many there are: a put reads it without a lock.
    count: AtomicUsize,
    watched: Mutex<Watched>,
    /// There is one more or one less, or something has changed that they may want to know.
    pub(crate) stirred: Notify,
}

#[derive(Default)]
struct Watched {
    closed: bool,
    all: Vec<Arc<Mailbox>>,
    threads: HashMap<ThreadId, Vec<Arc<Mailbox>>>,
}

/// A watcher, until this is dropped.
pub(crate) struct Watcher {
    watchers: Arc<Watchers>,
    mailbox: Arc<Mailbox>,
}

impl Watchers {
    /// Adds a watcher, who is told of what changes from now on.
    pub(crate) fn add(self: &Arc<Self>, watch: Watch) -> Result<Watcher> {
        let mailbox = Arc::new(Mailbox::new(watch));
        let mut watched = self.lock();
        if watched.closed {
            return Err(Error::Closed);
        }
        watched.like(&mailbox).push(Arc::clone(&mailbox));
        drop(watched);
        self.count.fetch_add(1, Ordering::AcqRel);
        self.stirred.notify_one();
        Ok(Watcher {
            watchers: Arc::clone(self),
            mailbox,
        })
    }

    /// Tells a change to all who want it.
    pub(crate) fn tell(&self, change: &HeadChange) {
        if !self.are_none() {
            self.tell_watchers_of_all(change);
            self.tell_watchers_of_thread(change);
        }
    }

    /// Tells a change to those who watch all threads.
    pub(crate) fn tell_watchers_of_all(&self, change: &HeadChange) {
        for mailbox in &self.lock().all {
            mailbox.add(change);
        }
    }

    /// Tells a change to those who watch its thread.
    pub(crate) fn tell_watchers_of_thread(&self, change: &HeadChange) {
        let watched = self.lock();
        let mailboxes = watched.threads.get(change.thread_id());
        for mailbox in mailboxes.into_iter().flatten() {
            mailbox.add(change);
        }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The threads that are watched one by one.
    pub(crate) fn threads(&self) -> Vec<ThreadId> {
        self.lock().threads.keys().cloned().collect()
    }

    /// Whether all threads are watched together.
    pub(crate) fn watch_all(&self) -> bool {
        !self.lock().all.is_empty()
    }

    /// The mailboxes of watchers who wait for the start of their watch.
    pub(crate) fn waiting(&self) -> Vec<Arc<Mailbox>> {
        let watched = self.lock();
        let waiting = watched.mailboxes().filter(|mailbox| !mailbox.has_begun());
        waiting.cloned().collect()
    }

    /// Says that something has changed, if there is a watcher.
    pub(crate) fn stir(&self) {
        if !self.are_none() {
            self.stirred.notify_one();
        }
    }

    /// Ends all streams, once their watchers have taken what they were told.
    pub(crate) fn end(&self) {
        self.lock().mailboxes().for_each(|mailbox| mailbox.end());
    }

    /// Ends all streams, and admits no further watcher.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.end();
    }

    fn remove(&self, mailbox: &Arc<Mailbox>) {
        let mut watched = self.lock();
        let alike = watched.like(mailbox);
        alike.retain(|other| !Arc::ptr_eq(other, mailbox));
        if alike.is_empty()
            && let Some(thread_id) = &mailbox.watch.thread_id
        {
            watched.threads.remove(thread_id);
        }
        drop(watched);
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.stirred.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// The mailboxes of those who watch the same thread, or all threads as well.
    fn like(&mut self, mailbox: &Mailbox) -> &mut Vec<Arc<Mailbox>> {
        match &mailbox.watch.thread_id {
            Some(thread_id) => self.threads.entry(thread_id.clone()).or_default(),
            None => &mut self.all,
        }
    }

    fn mailboxes(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.all.iter().chain(self.threads.values().flatten())
    }
}

impl Watcher {
    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// What the watcher is told, until the end.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<HeadChange>> {
        let changes = stream::unfold(self, |watcher| async move {
            let change = watcher.mailbox.next().await?;
            Some((Ok(change), watcher))
        });
        changes.boxed()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watchers.remove(&self.mailbox);
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

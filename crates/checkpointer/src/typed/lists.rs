//! The lists of a state: which of them only grew since they were saved last.
//!
//! A list that was saved is remembered by the hash of what serde hears of its items. The next save lets
//! serde tell the items again, and hashes them: if those that were saved are the same, only further ones
//! become JSON. They were checked when they were saved, and the same items pass the same checks. A
//! [`Log`](super::Log) says that it only grew, and so its items aren't looked at again.

mod stream;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;

use self::stream::Stream;
use super::log::LogId;
use crate::channels::ROOT;
use crate::codec::MAX_BYTES;

/// From how many bytes on a list is remembered, as it is hashed. To save a shorter one as a whole takes
/// hardly longer.
const LEAST_BYTES: usize = 4096;

/// About the most that an item takes where it is stored besides its own bytes.
const ITEM_BYTES: usize = 32;

/// A list that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    len: usize,
    items: Items,
    /// About the most bytes that it can take.
    max_bytes: usize,
}

/// What tells whether the items of a list are those that were saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Items {
    Hash([u8; 32]),
    /// As long as it is this log.
    Log(LogId),
}

impl Saved {
    /// Counts the bytes of some further items of it. Returns none if the list may be too large to be
    /// stored: to append to such a list takes reading it, and so it is saved as a whole.
    pub(super) fn with(self, items: usize, max_bytes: usize) -> Option<Self> {
        let max_bytes = self.max_bytes + max_bytes + items * ITEM_BYTES;
        (max_bytes <= MAX_BYTES).then_some(Self { max_bytes, ..self })
    }
}

/// The lists that were saved, by their channels.
pub(super) type Lists = BTreeMap<String, Saved>;

/// What a pass over a state finds out about its lists.
#[derive(Debug)]
pub(super) struct Growth<'a> {
    /// Those that were saved last.
    saved: &'a Lists,
    /// The channel whose value comes next.
    channel: RefCell<String>,
    found: RefCell<Grown>,
}

/// The lists of a state, by their channels.
pub(super) type Grown = BTreeMap<String, Found>;

/// What became of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// It is to be saved as a whole, and then remembered as this, if at all.
    Whole(Option<Saved>),
    /// It begins with the `after` items that were saved, which were left out.
    Longer { after: usize, saved: Saved },
    /// It doesn't begin with the items that were saved, and was left out.
    Changed,
}

/// A list while its items are told.
#[derive(Debug)]
pub(super) struct Growing<'a> {
    growth: &'a Growth<'a>,
    channel: String,
    saved: Option<&'a Saved>,
    len: usize,
    log: Option<LogId>,
    stream: Stream,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All items can be hashed so far, and are those that were saved as far as that was seen.
    Same,
    /// An item can't be hashed.
    Unhashed,
    Changed,
}

impl<'a> Growth<'a> {
    pub(super) fn since(saved: &'a Lists) -> Self {
        Self {
            saved,
            channel: RefCell::new(ROOT.to_owned()),
            found: RefCell::default(),
        }
    }

    /// Names the channel whose value comes next.
    pub(super) fn enter(&self, channel: &str) {
        channel.clone_into(&mut self.channel.borrow_mut());
    }

    /// Begins with the items of a list that is the value of the channel.
    pub(super) fn list(&'a self, log: Option<LogId>) -> Growing<'a> {
        let channel = self.channel.borrow().clone();
        let saved = self.saved.get(&channel);
        let saved = saved.filter(|saved| match (saved.items, log) {
            (Items::Hash(_), None) => true,
            (Items::Log(saved), Some(log)) => saved == log,
            _ => false,
        });
        Growing {
            growth: self,
            saved,
            channel,
            len: 0,
            log,
            stream: Stream::default(),
            state: State::Same,
        }
    }

    pub(super) fn into_found(self) -> Grown {
        self.found.into_inner()
    }
}

impl Growing<'_> {
    /// Takes the next item. Returns whether it is left out, because it was saved before.
    pub(super) fn leaves_out<T: Serialize + ?Sized>(&mut self, item: &T) -> bool {
        self.len += 1;
        if self.log.is_none() && self.state == State::Same {
            self.hash(item);
        }
        match self.saved {
            Some(saved) => self.state != State::Same || self.len <= saved.len,
            None => false,
        }
    }

    fn hash<T: Serialize + ?Sized>(&mut self, item: &T) {
        if item.serialize(&mut self.stream).is_err() {
            // The other serializer says what is wrong with it, and where.
            self.state = match self.saved {
                Some(_) => State::Changed,
                None => State::Unhashed,
            };
        } else if let Some(saved) = self.saved
            && saved.len == self.len
            && saved.items != self.items()
        {
            self.state = State::Changed;
        }
    }

    /// How many items were left out, as far as the list is the one that was saved.
    pub(super) fn left_out(&self) -> usize {
        self.saved.map_or(0, |saved| saved.len.min(self.len))
    }

    /// Notes what became of the list.
    pub(super) fn end(self) {
        let found = match (self.state, self.saved) {
            (State::Same, Some(saved)) if self.len >= saved.len => Found::Longer {
                after: saved.len,
                saved: self.to_saved(),
            },
            (State::Same | State::Changed, Some(_)) => Found::Changed,
            (State::Same, None) if self.log.is_some() || self.stream.len() >= LEAST_BYTES => {
                Found::Whole(Some(self.to_saved()))
            }
            _ => Found::Whole(None),
        };
        self.growth.found.borrow_mut().insert(self.channel, found);
    }

    fn to_saved(&self) -> Saved {
        Saved {
            len: self.len,
            items: self.items(),
            max_bytes: self.saved.map_or(0, |saved| saved.max_bytes),
        }
    }

    fn items(&self) -> Items {
        match self.log {
            Some(log) => Items::Log(log),
            None => Items::Hash(self.stream.hash()),
        }
    }
}

/// The lists to compare with when a state is told again, after what a pass has found; none if there is
/// no need. A state that is read back is told as a whole.
pub(super) fn again(saved: &Lists, found: &Grown, is_read_back: bool) -> Option<Lists> {
    let is = |found: &Found| match found {
        Found::Whole(_) => false,
        Found::Longer { .. } => is_read_back,
        Found::Changed => true,
    };
    if !found.values().any(is) {
        return None;
    }
    let keep = |(channel, _): &(&String, &Saved)| !found.get(*channel).is_some_and(is);
    let kept = saved.iter().filter(keep);
    Some(
        kept.map(|(channel, list)| (channel.clone(), list.clone()))
            .collect(),
    )
}

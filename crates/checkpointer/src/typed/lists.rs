//! The lists of a state: which of them only grew since they were saved last.
//!
//! A list that was saved is remembered by the hash of what serde hears of its items. The next save lets
//! serde tell the items again, and hashes them: if those that were saved are the same, only further ones
//! become JSON. They were checked when they were saved, and the same items pass the same checks.

mod stream;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;

use self::stream::Stream;
use crate::channels::ROOT;

/// From how many bytes on a list is remembered, as it is hashed. To save a shorter one as a whole takes
/// hardly longer.
const LEAST_BYTES: usize = 4096;

/// A list that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Saved {
    len: usize,
    hash: [u8; 32],
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
    /// What was saved, and how much of it is still as it was.
    saved: Option<&'a Saved>,
    len: usize,
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
    pub(super) fn list(&'a self) -> Growing<'a> {
        let channel = self.channel.borrow().clone();
        Growing {
            growth: self,
            saved: self.saved.get(&channel),
            channel,
            len: 0,
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
        if self.state == State::Same {
            self.hash(item);
        }
        match self.saved {
            Some(saved) => self.state != State::Same || self.len <= saved.len,
            None => false,
        }
    }

    fn hash<T: Serialize + ?Sized>(&mut self, item: &T) {
        self.len += 1;
        if item.serialize(&mut self.stream).is_err() {
            // The other serializer says what is wrong with it, and where.
            self.state = match self.saved {
                Some(_) => State::Changed,
                None => State::Unhashed,
            };
        }
        if let Some(saved) = self.saved
            && saved.len == self.len
            && saved.hash != self.stream.hash()
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
            (State::Same, None) if self.stream.len() >= LEAST_BYTES => {
                Found::Whole(Some(self.to_saved()))
            }
            _ => Found::Whole(None),
        };
        self.growth.found.borrow_mut().insert(self.channel, found);
    }

    fn to_saved(&self) -> Saved {
        Saved {
            len: self.len,
            hash: self.stream.hash(),
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

//! The write that is sent by its own caller.
//!
//! If a task sent it, the task would have to be woken for each write, and would have to wake the
//! caller again: for small pending writes that takes as long as the server does. So the caller sends
//! its write itself while its call is the only one under way. No other call depends on how often the
//! caller is polled: with the next call, or when the caller is dropped, a task takes the write
//! over.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::lane::Sending;
use super::lock;

/// The place of the write whose call is the only one.
#[derive(Debug, Default)]
pub(super) struct Lone(Mutex<Place>);

#[derive(Debug, Default)]
struct Place {
    /// How many calls are under way.
    calls: usize,
    /// Whether no further write gets the place.
    is_sealed: bool,
    /// Which write is there, or was there last.
    number: u64,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    /// It waits for an answer.
    Waiting { sending: Sending, caller: Waker },
    /// The caller has taken it out to send it on.
    SentOn { is_taken_over: bool },
}

/// A call that is under way.
#[derive(Debug)]
pub(in crate::postgres) struct Begun<'a>(&'a Lone);

/// What a caller holds while its write has the place. Dropping it hands the write over.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    lone: &'a Lone,
    number: u64,
}

impl Lone {
    /// Begins a call. It might wait for the write that has the place, so a task takes that over.
    pub(super) fn begin(&self) -> Begun<'_> {
        let mut place = lock(&self.0);
        place.calls += 1;
        take_over(place);
        Begun(self)
    }

    /// Gives a write the place, and its caller the means to send it, if its call is the only one
    /// and the place isn't sealed. Otherwise gives back what it was to be made of.
    pub(super) fn offer<T>(
        &self,
        write: T,
        sending: impl FnOnce(T) -> Sending,
    ) -> Result<Caller<'_>, T> {
        let mut place = lock(&self.0);
        if place.is_sealed || place.calls > 1 || !matches!(place.state, State::Empty) {
            return Err(write);
        }
        place.number += 1;
        place.state = State::Waiting {
            sending: sending(write),
            caller: Waker::noop().clone(),
        };
        Ok(Caller {
            lone: self,
            number: place.number,
        })
    }

    /// Lets a task take over the write that has the place, and every later one: a close waits for
    /// them, and not for callers who may never poll them again.
    pub(super) fn seal(&self) {
        let mut place = lock(&self.0);
        place.is_sealed = true;
        take_over(place);
    }
}

fn take_over(mut place: MutexGuard<'_, Place>) {
    match std::mem::take(&mut place.state) {
        State::Empty => {}
        State::Waiting { sending, caller } => {
            drop(place);
            sending.spawn();
            // To wait for the task from now on.
            caller.wake();
        }
        State::SentOn { .. } => {
            place.state = State::SentOn {
                is_taken_over: true,
            };
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).calls -= 1;
    }
}

impl Caller<'_> {
    /// Sends the write on. Ready once the caller has nothing more to do with it, be it sent or
    /// taken over.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let Some(mut sending) = self.take() else {
            return Poll::Ready(());
        };
        let is_sent = sending.poll(context).is_ready();
        let mut place = lock(&self.lone.0);
        let is_taken_over = matches!(
            place.state,
            State::SentOn {
                is_taken_over: true
            }
        );
        if is_sent || is_taken_over {
            place.state = State::Empty;
            drop(place);
            if !is_sent {
                sending.spawn();
            }
            return Poll::Ready(());
        }
        place.state = State::Waiting {
            sending,
            caller: context.waker().clone(),
        };
        Poll::Pending
    }

    fn take(&self) -> Option<Sending> {
        let mut place = lock(&self.lone.0);
        if place.number != self.number {
            return None;
        }
        let sent_on = State::SentOn {
            is_taken_over: false,
        };
        match std::mem::replace(&mut place.state, sent_on) {
            State::Waiting { sending, .. } => Some(sending),
            state => {
                place.state = state;
                None
            }
        }
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let mut place = lock(&self.lone.0);
        if place.number != self.number {
            return;
        }
        let state = std::mem::take(&mut place.state);
        drop(place);
        if let State::Waiting { sending, .. } = state {
            sending.spawn();
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Waiting { .. } => "Waiting",
            Self::SentOn { .. } => "SentOn",
        })
    }
}

#[cfg(test)]
mod tests;

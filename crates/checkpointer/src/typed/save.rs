//! Saving a state.

use std::sync::Arc;
use std::time::Duration;

use db::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::channels::Channels;
use super::{Attempt, Parent, Position, Thread};
use crate::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Error, Metadata,
    Result, Source,
};

/// For how long [`Thread::update`] tries to save between the saves of others.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause after its first conflict. Each further one may be twice as long.
const FIRST_UPDATE_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause of all.
const LONGEST_UPDATE_PAUSE: Duration = Duration::from_millis(500);

impl<State: Serialize + DeserializeOwned + 'static> Thread<State> {
    /// Saves a state, after the one that was loaded or saved last.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another save came in between, or the thread has checkpoints and this
    /// handle has loaded none, [`Error::ThreadDeleted`] if the thread was deleted: load, and decide.
    /// [`Error::LeaseHeld`] if another program has a lease on the thread, [`Error::LeaseLost`] if this handle's isn't the thread's any more.
    /// [`Error::UnstorableState`] for what JSON can't hold, [`Error::Unstorable`] for what is too
    /// large or too deep. Nothing is saved then.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, or after an error whose outcome is unknown, the state may or may not
    /// have been saved. The next call finds out, and never conflicts with its own attempt.
    pub async fn save(&mut self, state: &State) -> Result<CheckpointAddress> {
        self.settle().await?;
        let channels = Channels::of(&self.thread_id, state)?;
        let attempt = self.attempt(self.position.clone(), channels);
        self.send(Arc::new(attempt)).await
    }

    /// Loads the state at the head, or the default one, changes it and saves it. If another program
    /// saves in between, it does all of that again, for up to 30 seconds, with growing pauses. Returns
    /// the state that was saved. A thread that was deleted before is started again.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load) and [`save`](Self::save), but for the conflicts;
    /// [`Error::Busy`] if there are still conflicts after 30 seconds.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with timers, at the first conflict.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, or after an error whose outcome is unknown, the change may or may
    /// not have been saved: load before making it again.
    pub async fn update(&mut self, mut change: impl FnMut(&mut State)) -> Result<State>
    where
        State: Default,
    {
        let give_up = Instant::now() + UPDATE_TIMEOUT;
        let mut backoff = Backoff::new(FIRST_UPDATE_PAUSE, LONGEST_UPDATE_PAUSE);
        loop {
            let mut state = self.load().await?.unwrap_or_default();
            change(&mut state);
            match self.save(&state).await {
                Ok(_) => return Ok(state),
                Err(Error::Conflict { .. }) if Instant::now() >= give_up => {
                    return Err(Error::busy(&self.thread_id));
                }
                Err(Error::Conflict { .. }) => {
                    tokio::time::sleep(backoff.pause()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl<State> Thread<State> {
    /// A save of `channels`, after a position.
    pub(super) fn attempt(&self, from: Position, mut channels: Channels) -> Attempt {
        let parent = from.parent.as_ref();
        let unknown = match parent {
            Some(parent) if channels.is_struct() && !self.owns_all => parent.unknown.clone(),
            _ => Channels::default(),
        };
        channels.keep(&unknown);
        let id = CheckpointId::generate(parent.map(|parent| &parent.address.checkpoint_id));
        let mut checkpoint = Checkpoint::new(id.clone());
        let mut new_versions = ChannelVersions::new();
        for channel in channels.values.keys() {
            let before = parent.and_then(|parent| parent.versions.get(channel));
            let same = parent
                .is_some_and(|parent| parent.channels.get(channel) == channels.hashes.get(channel));
            let version = match before {
                Some(version) if same => version.clone(),
                _ => {
                    let version = self.checkpointer.next_version(before);
                    new_versions.insert(channel.clone(), version.clone());
                    version
                }
            };
            checkpoint.channel_versions.insert(channel.clone(), version);
        }
        checkpoint.updated_channels = Some(new_versions.keys().cloned().collect());
        checkpoint.channel_values = channels.values;
        let (source, step) = match parent {
            Some(parent) => (parent.source, parent.step.saturating_add(1)),
            None => (Source::Input, -1),
        };
        Attempt {
            metadata: self.shape.mark(Metadata::new(source, step)),
            to: Parent {
                address: CheckpointAddress {
                    thread_id: self.thread_id.clone(),
                    checkpoint_ns: CheckpointNs::ROOT,
                    checkpoint_id: id,
                    generation: None,
                },
                step,
                versions: checkpoint.channel_versions.clone(),
                channels: channels.hashes,
                unknown,
                source: Source::Update,
            },
            checkpoint,
            new_versions,
            from,
        }
    }
}

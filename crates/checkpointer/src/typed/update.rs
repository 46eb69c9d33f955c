//! Changing a state where other programs change it as well.

use std::time::Duration;

use db::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Position, Thread};
use crate::{CheckpointAddress, Error, Result};

/// For how long an update tries to save between the saves of others.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest pause after its first conflict. Each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What is left of an update's time, and how long it pauses.
struct Tries {
    give_up: Instant,
    backoff: Backoff,
}

impl Tries {
    fn begin() -> Self {
        Self {
            give_up: Instant::now() + TIMEOUT,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }
}

/// The state that an update has saved, for the next one to begin with.
#[derive(Debug)]
pub(super) struct Last<State> {
    state: State,
    /// Where it is saved; none if other programs save the thread, too.
    at: Option<CheckpointAddress>,
}

/// What an update has begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// The state that the last update has saved.
    Kept,
    /// The state at the head.
    Loaded {
        /// Whether the head was where this handle has left it.
        is_alone: bool,
    },
}

impl Begun {
    fn is_alone(self) -> bool {
        self != Self::Loaded { is_alone: false }
    }
}

impl<State: Serialize + DeserializeOwned + 'static> Thread<State> {
    /// Changes the state at the head, or the default one, and saves it. If another program saves in
    /// between, it loads and does so again, for up to 30 seconds, with growing pauses. Returns the
    /// state that was saved. A thread that was deleted before is started again.
    ///
    /// The handle keeps that state, and the next update begins with it: it loads nothing and
    /// [appends](Self#how-a-thread-grows). The save is refused if the state isn't that of the head any
    /// more: then the update loads, and runs `change` again on what it has loaded. So the change is
    /// always made to the state at the head, also where other programs save the thread. As long as they
    /// do, each update loads before it runs `change`. A field that serde skips is loaded as its default,
    /// but kept as it is.
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
    pub async fn update(&mut self, mut change: impl FnMut(&mut State)) -> Result<&State>
    where
        State: Default,
    {
        let mut tries = Tries::begin();
        loop {
            let (mut state, begun) = self.begin().await?;
            change(&mut state);
            if let Some(last) = self.end(state, begun, &mut tries).await? {
                return Ok(&self.last.insert(last).state);
            }
        }
    }

    /// Changes and saves as [`update`](Self::update) does, by a step that may wait, may fail, and
    /// returns what it wants to. If the step fails, nothing is saved.
    ///
    /// The step runs again after each conflict, with the state as it is then, and if it fails with the
    /// state that the handle has kept: only a failure with a loaded state is returned. So what it does
    /// elsewhere, such as sending a mail, may be done several times: do that after the update, or take a
    /// [lease](Self::acquire_lease) first.
    ///
    /// # Errors
    ///
    /// The step's own, and those of [`update`](Self::update).
    ///
    /// # Panics
    ///
    /// As [`update`](Self::update).
    ///
    /// # Cancel safety
    ///
    /// As [`update`](Self::update).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[derive(Debug)]
    /// # struct Refusal;
    /// # impl From<checkpointer::Error> for Refusal {
    /// #     fn from(_: checkpointer::Error) -> Self {
    /// #         Self
    /// #     }
    /// # }
    /// # async fn answer(question: &str) -> Result<String, Refusal> {
    /// #     Ok(format!("{question} On its way."))
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Refusal> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// let messages = thread
    ///     .try_update(async |messages| {
    ///         messages.push("Where is my order?".to_owned());
    ///         messages.push(answer("Where is my order?").await?);
    ///         Ok::<_, Refusal>(messages.len())
    ///     })
    ///     .await?;
    /// assert_eq!(messages, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_update<T, E>(
        &mut self,
        mut step: impl AsyncFnMut(&mut State) -> Result<T, E>,
    ) -> Result<T, E>
    where
        State: Default,
        E: From<Error>,
    {
        let mut tries = Tries::begin();
        loop {
            let (mut state, begun) = self.begin().await?;
            let wanted = match step(&mut state).await {
                Err(_) if begun == Begun::Kept => continue,
                outcome => outcome?,
            };
            if let Some(last) = self.end(state, begun, &mut tries).await? {
                self.last = Some(last);
                return Ok(wanted);
            }
        }
    }

    /// Begins an update: once with the state that the last one has saved, and else with the one at the
    /// head.
    async fn begin(&mut self) -> Result<(State, Begun)>
    where
        State: Default,
    {
        if let Some(state) = self.take_last() {
            return Ok((state, Begun::Kept));
        }
        let left_at = self.position.head.clone();
        let state = self.load().await?.unwrap_or_default();
        let is_alone = left_at.is_none() || left_at == self.position.head;
        Ok((state, Begun::Loaded { is_alone }))
    }

    /// Takes the state that the last update has saved, if the next save follows it.
    fn take_last(&mut self) -> Option<State> {
        let Last { state, at } = self.last.take()?;
        let is_settled = self.attempt.is_none() && self.uncommitted.is_empty();
        (is_settled && self.position.is_at(&at?)).then_some(state)
    }

    /// Saves what an update has made. Returns none if it is to be made again from the state at the head.
    async fn end(
        &mut self,
        state: State,
        begun: Begun,
        tries: &mut Tries,
    ) -> Result<Option<Last<State>>> {
        let saved = match begun {
            Begun::Loaded { .. } => self.try_save(&state, tries).await?,
            Begun::Kept => match self.save(&state).await {
                Err(error) if is_against_the_state(&error) => None,
                outcome => Some(outcome?),
            },
        };
        let last = |address| Last {
            state,
            at: begun.is_alone().then_some(address),
        };
        Ok(saved.map(last))
    }

    /// Saves the state at the head in the current version of its type, if it has an older one: see
    /// [`versioned`](Self::versioned). Returns whether that was so.
    ///
    /// It is for a program that goes through all threads, so that `upgrade` needs to read an old version
    /// no more, and SQL sees the new shape. Earlier checkpoints stay as they are. The example
    /// `upgrade_threads` is such a program.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    ///
    /// # Panics
    ///
    /// As [`update`](Self::update).
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the state may or may not have been saved. Calling again is harmless.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::serde_json::{self, Value, json};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// checkpointer.thread("support-4711")?.save(&"Where is my order?".to_owned()).await?;
    ///
    /// let into_list = |_, state: Value| Ok::<_, serde_json::Error>(json!([state]));
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?.versioned(1, into_list);
    /// assert!(thread.upgrade().await?);
    /// assert!(!thread.upgrade().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn upgrade(&mut self) -> Result<bool> {
        let mut tries = Tries::begin();
        while let Some(state) = self.load().await? {
            let parent = self.position.parent.as_ref();
            if parent.is_none_or(|parent| parent.is_current) {
                return Ok(false);
            }
            if self.try_save(&state, &mut tries).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Saves, or pauses if another program has saved in between. Returns where it has saved.
    async fn try_save(
        &mut self,
        state: &State,
        tries: &mut Tries,
    ) -> Result<Option<CheckpointAddress>> {
        match self.save(state).await {
            Ok(address) => Ok(Some(address)),
            Err(Error::Conflict { .. }) if Instant::now() >= tries.give_up => {
                Err(Error::busy(&self.thread_id))
            }
            Err(Error::Conflict { .. }) => {
                tokio::time::sleep(tries.backoff.pause()).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether a save was refused for its state, which may have been made of one that isn't the head's.
fn is_against_the_state(error: &Error) -> bool {
    matches!(
        error,
        Error::Conflict { .. }
            | Error::ThreadDeleted { .. }
            | Error::ParentNotFound { .. }
            | Error::AppendMismatch { .. }
            | Error::UnstorableState { .. }
            | Error::Unstorable { .. }
            | Error::ThreadFull { .. }
    )
}

impl Position {
    /// Whether the next save follows this checkpoint, as the head.
    fn is_at(&self, address: &CheckpointAddress) -> bool {
        let parent = self.parent.as_ref().map(|parent| &parent.address);
        parent == Some(address) && self.head.as_ref() == Some(&address.checkpoint_id)
    }
}

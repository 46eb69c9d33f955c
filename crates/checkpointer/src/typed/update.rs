//! Changing a state where other programs change it as well.

use std::time::Duration;

use db::Backoff;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Thread;
use crate::{Error, Result};

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

impl<State: Serialize + DeserializeOwned + 'static> Thread<State> {
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
        let mut tries = Tries::begin();
        loop {
            let mut state = self.load().await?.unwrap_or_default();
            change(&mut state);
            if self.try_save(&state, &mut tries).await? {
                return Ok(state);
            }
        }
    }

    /// Loads, changes and saves as [`update`](Self::update) does, by a step that may wait, may fail, and
    /// returns what it wants to. If the step fails, nothing is saved.
    ///
    /// The step runs again after each conflict, with the state as it is then. So what it does elsewhere,
    /// such as sending a mail, may be done several times: do that after the update, or take a
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
            let mut state = self.load().await?.unwrap_or_default();
            let wanted = step(&mut state).await?;
            if self.try_save(&state, &mut tries).await? {
                return Ok(wanted);
            }
        }
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
            if self.try_save(&state, &mut tries).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Saves, or pauses if another program has saved in between. Returns whether it has saved.
    async fn try_save(&mut self, state: &State, tries: &mut Tries) -> Result<bool> {
        match self.save(state).await {
            Ok(_) => Ok(true),
            Err(Error::Conflict { .. }) if Instant::now() >= tries.give_up => {
                Err(Error::busy(&self.thread_id))
            }
            Err(Error::Conflict { .. }) => {
                tokio::time::sleep(tries.backoff.pause()).await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

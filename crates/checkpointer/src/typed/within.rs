//! Saving and loading within a transaction of the caller's.
//!
//! Only the commit makes such a save the one that the next follows. A transaction of `db` tells
//! when it is committed. Of one of the driver, or one whose commit was lost, nothing is told: then
//! the next call reads whether the checkpoint is stored.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::channels::Channels;
use super::lists::Lists;
use super::{Attempt, Position, Thread};
use crate::{CheckpointAddress, Error, GetTuple, OpenTransaction, Projection, Result};

/// How many saves are remembered that may or may not be committed. Those in the transactions of a
/// driver are, until a call outside of them.
const MOST_UNCOMMITTED: usize = 16;

/// A save within a transaction that may or may not be committed.
#[derive(Debug)]
pub(super) struct Uncommitted {
    attempt: Arc<Attempt>,
    /// Where it is stored if the transaction is committed; none before the put has answered.
    address: Option<CheckpointAddress>,
    is_committed: Arc<AtomicBool>,
}

impl Uncommitted {
    /// A save that is sent now.
    fn sent(attempt: &Arc<Attempt>) -> Self {
        Self {
            attempt: Arc::clone(attempt),
            address: None,
            is_committed: Arc::default(),
        }
    }

    /// Notes that it is a part of the transaction, which tells when it is committed.
    fn is_put(&mut self, address: &CheckpointAddress, transaction: OpenTransaction<'_>) {
        let is_committed = Arc::clone(&self.is_committed);
        transaction.after_commit(move || is_committed.store(true, Ordering::Relaxed));
        self.address = Some(address.clone());
    }

    /// Where it is stored, if it is known to be committed.
    pub(super) fn committed(&self) -> Option<&CheckpointAddress> {
        let is_committed = self.is_committed.load(Ordering::Relaxed);
        self.address.as_ref().filter(|_| is_committed)
    }
}

impl<State: Serialize + DeserializeOwned + 'static> Thread<State> {
    /// Saves a state as [`save`](Self::save) does, within a transaction of the caller's: it is
    /// saved with the caller's commit, or not at all. No connection is used but the caller's.
    ///
    /// The next save follows this one if the transaction was committed, and is as if there had been
    /// none if it was rolled back. Further saves in the same transaction follow each other. A call
    /// of this handle outside of the transaction, before it has ended, sees the thread without it.
    ///
    /// Until the transaction ends, other programs that save the thread wait for it. Save late in a
    /// transaction, and end it soon.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save), at once and not at the commit; [`Error::Unsupported`] if the
    /// checkpointer can't store within this transaction. After an [`Error::Database`] the
    /// transaction can only be rolled back. Nothing is tried again: after an error that [is
    /// transient](Error::is_transient), the caller repeats the whole transaction.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the state may or may not be a part of the transaction: roll back.
    /// The next call of this handle finds out what was committed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use checkpointer::{PostgresCheckpointer, db};
    /// use db::{Database, GenericClient, Statement, Type};
    ///
    /// #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// struct Support {
    ///     messages: Vec<String>,
    /// }
    ///
    /// static ORDER: Statement =
    ///     Statement::new("INSERT INTO shop.orders (item) VALUES ($1)", &[Type::TEXT]);
    ///
    /// async fn order(
    ///     database: &Database,
    ///     checkpointer: &PostgresCheckpointer,
    /// ) -> checkpointer::Result<()> {
    ///     let mut thread = checkpointer.thread::<Support>("support-4711")?;
    ///     let mut state = thread.load().await?.unwrap_or_default();
    ///     state.messages.push("I have ordered a kettle.".to_owned());
    ///     database
    ///         .transaction(async |tx| {
    ///             tx.execute(&ORDER, &[&"a kettle"]).await?;
    ///             thread.save_within(tx, &state).await?;
    ///             Ok(())
    ///         })
    ///         .await
    /// }
    /// ```
    pub async fn save_within<'t>(
        &mut self,
        transaction: impl Into<OpenTransaction<'t>>,
        state: &State,
    ) -> Result<CheckpointAddress> {
        let transaction = transaction.into();
        // The program doesn't remember what it takes to append to what was put within a transaction.
        let channels = Channels::of(&self.thread_id, state, &Lists::new())?.without_lists();
        let from = self.position_within(transaction).await?;
        let attempt = Arc::new(self.attempt(from, channels));
        self.uncommitted.push(Uncommitted::sent(&attempt));
        let put = attempt.put(&self.thread_id, self.lease());
        let outcome = self.checkpointer.put_within(transaction, put).await;
        match (&outcome, self.uncommitted.last_mut()) {
            (Ok(address), Some(sent)) => sent.is_put(address, transaction),
            _ => drop(self.uncommitted.pop()),
        }
        self.forget_the_first();
        outcome
    }

    /// Loads as [`load`](Self::load) does, on the connection of the caller's transaction. What the
    /// transaction has saved is seen, too.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`Error::Unsupported`] if the checkpointer can't read within this
    /// transaction.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the handle is as before.
    pub async fn load_within<'t>(
        &mut self,
        transaction: impl Into<OpenTransaction<'t>>,
    ) -> Result<Option<State>> {
        let transaction = transaction.into();
        match self.send_again_within(transaction).await {
            // Lost to another program: what that has stored is loaded now.
            Ok(_)
            | Err(
                Error::Conflict { .. }
                | Error::ThreadDeleted { .. }
                | Error::AppendMismatch { .. }
                | Error::ParentNotFound { .. }
                | Error::LeaseHeld { .. }
                | Error::LeaseLost { .. },
            ) => {}
            Err(error) => return Err(error),
        }
        let query = GetTuple::head(&self.thread_id)?;
        let head = self
            .checkpointer
            .get_tuple_within(transaction, query)
            .await?;
        let own = head.as_ref().and_then(|head| {
            let id = &head.address.checkpoint_id;
            let mut saves = self.uncommitted.iter();
            saves.position(|save| save.attempt.checkpoint.id == *id)
        });
        let Some(last) = own else {
            return self.take_head(head);
        };
        // The handle's own save may still be rolled back.
        let mut uncommitted = mem::take(&mut self.uncommitted);
        uncommitted.truncate(last + 1);
        let position = self.position.clone();
        let loaded = self.take_head(head);
        (self.position, self.uncommitted) = (position, uncommitted);
        loaded
    }
}

impl<State> Thread<State> {
    /// Finds out what became of the saves within transactions.
    pub(super) async fn settle_uncommitted(&mut self) -> Result<()> {
        while let Some(last) = self.uncommitted.last() {
            if let Some(position) = self.position_after(last, None).await? {
                self.settle_at(position);
                return Ok(());
            }
            self.uncommitted.pop();
        }
        Ok(())
    }

    /// What a save within a transaction follows.
    async fn position_within(&mut self, transaction: OpenTransaction<'_>) -> Result<Position> {
        while let Some(last) = self.uncommitted.last() {
            let is_committed = last.committed().is_some();
            match self.position_after(last, Some(transaction)).await? {
                Some(position) if is_committed => {
                    self.settle_at(position.clone());
                    return Ok(position);
                }
                // It is committed, or a part of the same transaction.
                Some(position) => return Ok(position),
                None => drop(self.uncommitted.pop()),
            }
        }
        let sent = self.send_again_within(transaction).await?;
        Ok(sent.unwrap_or_else(|| self.position.clone()))
    }

    /// Notes that all saves up to a position are committed.
    fn settle_at(&mut self, position: Position) {
        self.position = position;
        self.attempt = None;
        self.uncommitted.clear();
    }

    /// Takes the first of many saves for committed. If it isn't after all, because one transaction
    /// has made them all and is rolled back, then the next save conflicts.
    fn forget_the_first(&mut self) {
        if self.uncommitted.len() > MOST_UNCOMMITTED {
            let first = self.uncommitted.remove(0);
            if let Some(address) = &first.address {
                self.position = first.attempt.stored_as(address);
                self.attempt = None;
            }
        }
    }

    /// Sends a save whose outcome isn't known again, as a part of the transaction: it stays unknown
    /// until that is committed.
    async fn send_again_within(
        &mut self,
        transaction: OpenTransaction<'_>,
    ) -> Result<Option<Position>> {
        let Some(attempt) = self.attempt.clone() else {
            return Ok(None);
        };
        let put = attempt.put(&self.thread_id, self.lease());
        let outcome = self.checkpointer.put_within(transaction, put).await;
        if !matches!(outcome, Ok(_) | Err(Error::Database { .. })) {
            self.attempt = None;
        }
        Ok(Some(attempt.stored_as(&outcome?)))
    }

    /// What follows a save within a transaction, if it is stored.
    async fn position_after(
        &self,
        save: &Uncommitted,
        transaction: Option<OpenTransaction<'_>>,
    ) -> Result<Option<Position>> {
        let address = match save.committed() {
            Some(address) => Some(address.clone()),
            None => self.stored(&save.attempt.to.address, transaction).await?,
        };
        Ok(address.map(|address| save.attempt.stored_as(&address)))
    }

    /// Where a checkpoint is stored, if it is.
    async fn stored(
        &self,
        address: &CheckpointAddress,
        transaction: Option<OpenTransaction<'_>>,
    ) -> Result<Option<CheckpointAddress>> {
        let query = GetTuple::at(address).project(Projection::Metadata);
        let found = match transaction {
            Some(transaction) => self.checkpointer.get_tuple_within(transaction, query).await,
            None => self.checkpointer.get_tuple(query).await,
        };
        Ok(found?.map(|tuple| tuple.address))
    }
}

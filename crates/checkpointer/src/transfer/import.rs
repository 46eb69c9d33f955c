//! Reading exported threads.

use std::fmt;

use super::Header;
use super::incoming::Incoming;
use super::parse::Line;
use crate::{ChannelValues, Checkpointer, Error, IntoName, Result, ThreadId};

/// Imports threads that [`export`](super::export) has written, line by line. Several threads may follow
/// each other.
///
/// An imported thread is equal to the one that was exported: ids, parents, values, versions, metadata,
/// the `ts` of each checkpoint, pins, pending writes, heads. What the store itself counts is its own: when the
/// thread was made and changed last, and its generation.
///
/// A thread isn't imported in one transaction. While it is, it is leased, so that no other program writes
/// to a part of it; readers see that part. If a line is refused, what was stored of its thread is
/// deleted again. A program that can't read the next line calls [`abort`](Self::abort), which does the same.
/// If the program dies, or drops an import in the middle of a thread, that part stays, and the lease for up
/// to a minute: delete the thread then, and import it again.
///
/// # Examples
///
/// See [`export`](super::export).
pub struct Import<'c> {
    checkpointer: &'c dyn Checkpointer,
    /// The id of the next thread, if it isn't to have the one that it had.
    into: Option<ThreadId>,
    /// How many lines were read.
    lines: u64,
    thread: Option<Incoming<'c>>,
}

/// A thread that was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The thread.
    pub thread_id: ThreadId,
    /// How many checkpoints it has.
    pub checkpoints: u64,
    /// How many pending writes it has.
    pub writes: u64,
}

impl<'c> Import<'c> {
    /// Imports into a checkpointer.
    #[must_use]
    pub fn new(checkpointer: &'c dyn Checkpointer) -> Self {
        Self {
            checkpointer,
            into: None,
            lines: 0,
            thread: None,
        }
    }

    /// Gives the first thread another id. Defaults to the one that it had.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] if the id can't be one.
    pub fn into_thread(self, thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            into: Some(thread_id.into_name()?),
            ..self
        })
    }

    /// Takes the next line, with or without its line break. Returns a thread once its last line was
    /// read. Empty lines are passed over.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedExport`] if it isn't the line of an export that can come now;
    /// [`Error::ThreadExists`] if there is such a thread; [`Error::ThreadDeleted`] if it was deleted, and
    /// the export doesn't begin with a first checkpoint, because that was pruned; otherwise as
    /// [`Checkpointer::acquire_lease`], [`Checkpointer::put`], [`Checkpointer::put_writes`] and, if a
    /// checkpoint is pinned, [`Checkpointer::set_pinned`].
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, a part of the thread stays: delete it, and begin again.
    pub async fn line(&mut self, line: &str) -> Result<Option<Imported>> {
        self.lines += 1;
        if line.trim().is_empty() {
            return Ok(None);
        }
        let none = ChannelValues::new();
        let before = self.thread.as_ref().map_or(&none, |thread| &thread.values);
        let taken = match Line::parse(line, before) {
            Ok(line) => self.take(line).await,
            Err(what) => Err(self.malformed(what)),
        };
        if taken.is_err() {
            self.undo().await;
        }
        taken
    }

    /// Ends the import.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedExport`] if the last thread isn't complete: what was stored of it is deleted.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, a part of the last thread may stay.
    pub async fn finish(mut self) -> Result<()> {
        match self.thread {
            None => Ok(()),
            Some(_) => {
                self.undo().await;
                Err(self.malformed("is the last, and its thread isn't complete".to_owned()))
            }
        }
    }

    /// Gives the import up: deletes what was stored of a thread that isn't complete, and lets others write to
    /// it. Threads that are complete stay.
    ///
    /// # Errors
    ///
    /// As [`Checkpointer::delete_thread`] and [`Checkpointer::release_lease`]: a part of the thread may stay.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, a part of the last thread may stay.
    pub async fn abort(mut self) -> Result<()> {
        match self.thread.take() {
            None => Ok(()),
            Some(thread) => thread.undo().await,
        }
    }

    async fn take(&mut self, line: Line) -> Result<Option<Imported>> {
        match (line, &mut self.thread) {
            (Line::Thread(header), None) => {
                self.begin(header).await?;
                Ok(None)
            }
            (Line::Checkpoint(step), Some(thread)) => {
                thread.take(*step).await?;
                Ok(None)
            }
            (Line::End(end), Some(thread)) => {
                thread.complete().await?;
                let missing = thread.heads.keys().next().cloned();
                match (missing, thread.stored == end) {
                    (None, true) => self.end().await,
                    (Some(ns), true) => Err(self.malformed(format!(
                        "ends a thread, and the head of its namespace `{ns}` hasn't come"
                    ))),
                    (_, false) => Err(self.malformed("tells of more or less than came".to_owned())),
                }
            }
            (Line::Thread(_), Some(_)) => {
                Err(self.malformed("begins a thread before the last one is complete".to_owned()))
            }
            (_, None) => Err(self.malformed("comes before a line that begins a thread".to_owned())),
        }
    }

    async fn begin(&mut self, header: Header) -> Result<()> {
        let thread_id = self.into.take().unwrap_or(header.thread_id);
        let header = Header {
            thread_id,
            ..header
        };
        self.thread = Some(Incoming::begin(self.checkpointer, header).await?);
        Ok(())
    }

    async fn end(&mut self) -> Result<Option<Imported>> {
        let Some(thread) = self.thread.take() else {
            return Ok(None);
        };
        let imported = Imported {
            thread_id: thread.thread_id.clone(),
            checkpoints: thread.stored.checkpoints,
            writes: thread.stored.writes,
        };
        thread.release().await?;
        Ok(Some(imported))
    }

    /// Deletes what was stored of a thread. That this fails says less than why it is done.
    async fn undo(&mut self) {
        if let Some(thread) = self.thread.take()
            && let Err(error) = thread.undo().await
        {
            tracing::warn!(error = %error.for_log(), "a part of an imported thread stays");
        }
    }

    fn malformed(&self, what: String) -> Error {
        Error::MalformedExport {
            line: self.lines,
            what,
        }
    }
}

impl fmt::Debug for Import<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thread_id = self.thread.as_ref().map(|thread| &thread.thread_id);
        f.debug_struct("Import")
            .field("lines", &self.lines)
            .field("thread_id", &thread_id)
            .finish_non_exhaustive()
    }
}

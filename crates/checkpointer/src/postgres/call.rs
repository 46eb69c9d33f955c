//! A call of a checkpointer as it is seen from outside: its span, and what it is counted as.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::stream::BoxStream;
use tracing::{Instrument, Span};

use super::meter;
use crate::{Error, Result};

/// Begins a call of that name, whose span has these fields besides those of its end.
macro_rules! call {
    ($operation:literal $(, $field:ident = $value:expr)* $(,)?) => {
        $crate::postgres::call::Call::new(
            $operation,
            ::tracing::debug_span!(
                target: "checkpointer",
                $operation,
                $($field = $value,)*
                attempts = ::tracing::field::Empty,
                outcome = ::tracing::field::Empty,
                duration_seconds = ::tracing::field::Empty,
            ),
        )
    };
}
pub(super) use call;

tokio::task_local! {
    /// The call that a task works for.
    static CURRENT: Call;
}

/// A call under way; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Call(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    operation: &'static str,
    span: Span,
    /// How often something was sent again after a failure.
    retries: AtomicU32,
    /// Whether one of those failures left open what had been done.
    is_in_doubt: AtomicBool,
}

/// Notes the end of a call when this is dropped, which may be before the work is done.
#[derive(Debug)]
struct End<'a> {
    call: &'a Call,
    outcome: &'static str,
    started: Instant,
}

/// The answers to a call that come one by one. The call is under way from the first poll on, and
/// only its own time counts, not what its caller does between the items.
struct Answers<T> {
    call: Call,
    items: BoxStream<'static, Result<T>>,
    state: State,
    /// Since when the caller waits for the next item.
    asked: Option<Instant>,
    took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    UnderWay,
    Over,
}

impl Call {
    pub(super) fn new(operation: &'static str, span: Span) -> Self {
        Self(Arc::new(Inner {
            operation,
            span,
            retries: AtomicU32::new(0),
            is_in_doubt: AtomicBool::new(false),
        }))
    }

    /// The call that this task works for, to take it along to another task.
    pub(super) fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Does the call's work, and notes what came of it.
    pub(super) async fn run<T>(self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut end = End {
            call: &self,
            outcome: "dropped",
            started: Instant::now(),
        };
        let result = self.work(work).await;
        end.outcome = result.as_ref().map_or_else(outcome, |_| "ok");
        result
    }

    /// Does a part of the work of the call that is under way, if one is.
    pub(super) async fn work_for<T>(call: Option<&Self>, work: impl Future<Output = T>) -> T {
        match call {
            Some(call) => call.work(work).await,
            None => work.await,
        }
    }

    async fn work<T>(&self, work: impl Future<Output = T>) -> T {
        let work = CURRENT.scope(self.clone(), work);
        work.instrument(self.0.span.clone()).await
    }

    /// Gives its answers, and notes what came of it.
    pub(super) fn stream<T: 'static>(
        self,
        items: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        Box::pin(Answers {
            call: self,
            items,
            state: State::New,
            asked: None,
            took: Duration::ZERO,
        })
    }

    /// Whether something was sent again that may have been done the first time.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.0.is_in_doubt.load(Ordering::Relaxed)
    }

    /// Notes that something is sent again after a failure.
    pub(super) fn retried(&self, failure: &db::Error) {
        self.0.retries.fetch_add(1, Ordering::Relaxed);
        if failure.is_outcome_unknown() {
            self.0.is_in_doubt.store(true, Ordering::Relaxed);
        }
        meter::retried(self.0.operation);
    }

    fn ended(&self, outcome: &'static str, after: Duration) {
        let attempts = self.0.retries.load(Ordering::Relaxed).saturating_add(1);
        let span = &self.0.span;
        span.record("attempts", attempts);
        span.record("outcome", outcome);
        span.record("duration_seconds", after.as_secs_f64());
        meter::ended(self.0.operation, outcome, after);
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.call.ended(self.outcome, self.started.elapsed());
    }
}

impl<T> Answers<T> {
    fn end(&mut self, outcome: &'static str) {
        if self.state == State::UnderWay {
            self.call.ended(outcome, self.took);
        }
        self.state = State::Over;
    }
}

impl<T> Stream for Answers<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.state == State::New {
            this.state = State::UnderWay;
        }
        let asked = *this.asked.get_or_insert_with(Instant::now);
        let (items, call) = (this.items.as_mut(), this.call.clone());
        let poll = || CURRENT.sync_scope(call, || items.poll_next(cx));
        let polled = this.call.0.span.in_scope(poll);
        if let Poll::Ready(item) = &polled {
            this.asked = None;
            this.took += asked.elapsed();
            match item {
                Some(Ok(_)) => {}
                Some(Err(error)) => this.end(outcome(error)),
                None => this.end("ok"),
            }
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<T> Drop for Answers<T> {
    fn drop(&mut self) {
        match self.asked {
            // The caller has what it wanted.
            None => self.end("ok"),
            Some(asked) => {
                self.took += asked.elapsed();
                self.end("dropped");
            }
        }
    }
}

/// What an error is counted as.
pub(super) fn outcome(error: &Error) -> &'static str {
    match error {
        Error::InvalidName { .. } => "invalid_name",
        Error::Unstorable { .. } | Error::UnstorableState { .. } => "unstorable",
        Error::PartialCheckpoint { .. } => "partial_checkpoint",
        Error::MalformedCheckpoint { .. } => "malformed_checkpoint",
        Error::MalformedExport { .. } => "malformed_export",
        Error::Conflict { .. } => "conflict",
        Error::ThreadDeleted { .. } => "thread_deleted",
        Error::ThreadFull { .. } => "thread_full",
        Error::LeaseHeld { .. } => "lease_held",
        Error::LeaseLost { .. } => "lease_lost",
        Error::ThreadNotFound { .. } | Error::CheckpointNotFound { .. } => "not_found",
        Error::ParentNotFound { .. } => "parent_not_found",
        Error::AppendMismatch { .. } => "append_mismatch",
        Error::ThreadExists { .. } => "thread_exists",
        Error::Unsupported { .. } => "unsupported",
        Error::Corrupt { .. } => "corrupt",
        Error::StateMismatch { .. } | Error::StateTooNew { .. } => "state_mismatch",
        Error::Busy { .. } => "busy",
        Error::Closed => "closed",
        Error::CloseFailed { .. } => "close_failed",
        Error::UnsuitableDatabase { .. } => "unsuitable_database",
        Error::Database { source, .. } => match source {
            db::Error::AcquireTimeout { .. } => "acquire_timeout",
            db::Error::Connect { .. }
            | db::Error::Connecting { .. }
            | db::Error::Unreachable { .. } => "unreachable",
            db::Error::ConnectionLost { .. } => "connection_lost",
            db::Error::OutcomeUnknown { .. } => "outcome_unknown",
            db::Error::StatementTimeout { .. } => "statement_timeout",
            db::Error::Closed => "closed",
            _ => "database",
        },
    }
}

//! What a worker does with a job.

use std::time::Duration;

use checkpointer::{Error, PostgresCheckpointer, Result, Thread};
use db::Database;
use serde::{Deserialize, Serialize};

use crate::{Job, Queue};

/// How long a worker that found no job waits before it asks again.
const PAUSE: Duration = Duration::from_millis(50);

/// The state of a thread.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Customer {
    /// Questions and answers, the oldest first.
    pub said: Vec<String>,
    /// The answer that has yet to be sent.
    pub draft: Option<Draft>,
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Draft {
    /// The job whose answer it is.
    pub job_id: i64,
    /// What is answered.
    pub answer: String,
}

/// What a worker tells of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It has claimed the job.
    Claimed,
    /// It has saved a draft of the answer.
    Drafted,
    /// The answer is sent.
    Done,
}

/// A worker. Any number of them share a queue, in any number of processes.
#[derive(Debug)]
pub struct Worker {
    /// Where jobs and checkpoints are.
    pub database: Database,
    /// Where the threads are.
    pub checkpointer: PostgresCheckpointer,
    /// What there is to do.
    pub queue: Queue,
    /// How long other workers leave a thread alone whose worker was killed.
    pub ttl: Duration,
}

impl Worker {
    /// Does one job after the other, and tells `on_event` of each step. A job that fails is claimed again
    /// when its claim is over.
    ///
    /// # Errors
    ///
    /// Those of the queue.
    ///
    /// # Cancel safety
    ///
    /// If dropped, another worker goes on with the job when its claim is over.
    pub async fn run(&self, on_event: impl Fn(&Job, Event)) -> Result<()> {
        loop {
            let Some(job) = self.queue.claim(self.ttl).await? else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            on_event(&job, Event::Claimed);
            if let Err(error) = self.work(&job, &on_event).await {
                log(&job, &error);
            }
        }
    }

    /// Does a job as the only one who works on its thread.
    async fn work(&self, job: &Job, on_event: &impl Fn(&Job, Event)) -> Result<()> {
        let mut thread = self.checkpointer.thread::<Customer>(&job.thread_id)?;
        let lost = match thread.acquire_lease(self.ttl).await {
            Ok(guard) => guard.lost(),
            // Another worker has claimed this job or an earlier one, and needs longer than its claim.
            Err(Error::LeaseHeld { until, .. }) => {
                return Ok(self.queue.put_off(job, until).await?);
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            done = self.answer(job, &mut thread, on_event) => done?,
            // Another worker may be at it.
            lost = lost => return Err(lost),
        }
        thread.release_lease().await
    }

    async fn answer(
        &self,
        job: &Job,
        thread: &mut Thread<Customer>,
        on_event: &impl Fn(&Job, Event),
    ) -> Result<()> {
        // Another worker may have done it between the claim and the lease.
        if !self.queue.is_open(job).await? {
            return Ok(());
        }
        let mut state = thread.load().await?.unwrap_or_default();
        let saved = state.draft.take().filter(|draft| draft.job_id == job.id);
        let draft = match saved {
            // A worker that was killed has got so far.
            Some(draft) => draft,
            None => {
                let draft = ask_the_model(job).await;
                state.draft = Some(draft.clone());
                thread.save(&state).await?;
                on_event(job, Event::Drafted);
                draft
            }
        };
        state.draft = None;
        state
            .said
            .extend([job.question.clone(), draft.answer.clone()]);
        // All of it or nothing: the answer is sent, the job is done, the thread knows it. It is nothing if
        // the lease is lost, for the save carries it.
        let sent: Result<()> = self
            .database
            .transaction(async |tx| {
                self.queue.finish(tx, job, &draft.answer).await?;
                thread.save_within(tx, &state).await?;
                Ok(())
            })
            .await;
        sent?;
        on_event(job, Event::Done);
        Ok(())
    }
}

async fn ask_the_model(job: &Job) -> Draft {
    // A model takes its time.
    tokio::task::yield_now().await;
    Draft {
        job_id: job.id,
        answer: format!("About {}: it is on its way.", job.question),
    }
}

#[expect(clippy::print_stderr, reason = "the log of an example")]
fn log(job: &Job, error: &Error) {
    eprintln!("job {}: {}", job.id, error.for_log());
}

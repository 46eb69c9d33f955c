//! An agent with tests on `MemoryCheckpointer`: they need no server.
//!
//! ```text
//! cargo run --package checkpointer --example tested_agent -- "Where is my order?"
//! cargo test --package checkpointer --example tested_agent
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::{PostgresCheckpointer, Result, Thread};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Support {
    messages: Vec<String>,
    escalated: bool,
}

/// Answers a question; the third one goes to a person.
async fn answer(thread: &mut Thread<Support>, question: &str) -> Result<Support> {
    thread
        .update(|state| {
            state.messages.push(question.to_owned());
            state.escalated = state.messages.len() > 2;
        })
        .await
        .cloned()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let mut thread = checkpointer.thread("support-4712")?;
    for question in std::env::args().skip(1) {
        let state = answer(&mut thread, &question).await?;
        println!(
            "{} questions, escalated: {}",
            state.messages.len(),
            state.escalated
        );
    }
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use checkpointer::{Error, MemoryCheckpointer};
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn the_third_question_goes_to_a_person_whichever_process_asks_it() -> Result<()> {
        let checkpointer = MemoryCheckpointer::new();
        let mut before = checkpointer.thread("support-1")?;
        answer(&mut before, "Where is my order?").await?;
        assert!(!answer(&mut before, "Hello?").await?.escalated);

        // A second handle knows what a restarted process knows: what was saved.
        let mut restarted = checkpointer.thread("support-1")?;
        assert!(answer(&mut restarted, "Anybody there?").await?.escalated);
        Ok(())
    }

    #[tokio::test]
    async fn of_two_who_save_after_the_same_state_one_gets_a_conflict() -> Result<()> {
        let checkpointer = MemoryCheckpointer::new();
        let mut ours = checkpointer.thread("support-1")?;
        let mut theirs = checkpointer.thread("support-1")?;
        answer(&mut ours, "Where is my order?").await?;
        theirs.load().await?;
        ours.save(&Support::default()).await?;

        let lost = theirs.save(&Support::default()).await;
        assert!(matches!(lost, Err(Error::Conflict { .. })));
        Ok(())
    }

    #[tokio::test]
    async fn every_answer_can_be_read_again() -> Result<()> {
        let mut thread = MemoryCheckpointer::new().thread("support-1")?;
        let first = answer(&mut thread, "Where is my order?").await?;
        answer(&mut thread, "Hello?").await?;

        let history: Vec<_> = thread.history().try_collect().await?;
        let oldest = &history[1].address.checkpoint_id;
        assert_eq!(thread.at(oldest).await?, first);
        Ok(())
    }
}

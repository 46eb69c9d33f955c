//! Guarded puts on one head, from several processes at the same moment.
//!
//! A referee tells each racer, a process of its own, the head of a thread; each puts a checkpoint
//! after it that expects it still to be there, and tells what became of that. The words go over the
//! racers' standard input and output, a line each.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use checkpointer::{
    Checkpoint, CheckpointId, Checkpointer, GetTuple, List, Metadata, Put, Source, ThreadId,
};
use futures_util::TryStreamExt;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines, Stdin, stdin,
    stdout,
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What an answer begins with: a test's process says other things as well.
const ANSWER: &str = "racer: ";

/// What a race came to.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Race {
    /// How often each racer won.
    pub won: Vec<usize>,
    /// How many rounds were won by neither.
    pub unwon: usize,
    /// What must never happen, in words.
    pub violations: Vec<String>,
}

/// A racer, as the referee sees it.
struct Racer {
    _process: Child,
    words: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What became of a racer's put.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Won(String),
    LostTo(String),
    Failed(String),
}

/// Lets processes race for the head of a new thread, for so many rounds. Each command must start
/// one that calls [`race_along`] for the same thread.
pub async fn race(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    commands: Vec<Command>,
    rounds: usize,
) -> Result<Race> {
    let mut racers = Vec::new();
    for command in commands {
        racers.push(Racer::start(command)?);
    }
    let mut race = Race {
        won: vec![0; racers.len()],
        ..Race::default()
    };
    let mut head = String::new();
    for round in 0..rounds {
        for racer in &mut racers {
            racer.say(&head).await?;
        }
        let mut answers = Vec::new();
        for racer in &mut racers {
            answers.push(racer.answer().await?);
        }
        let found = checkpointer.get_tuple(GetTuple::head(thread_id)?).await;
        let found = found.context("call the checkpointer")?;
        let found = found.map_or_else(String::new, |found| found.checkpoint.id.as_str().to_owned());
        race.judge(round, &head, &answers, &found);
        head = found;
    }
    race.check_chain(checkpointer, thread_id).await?;
    Ok(race)
}

/// Races along: puts after each head that the referee names on the standard input, until it ends.
pub async fn race_along(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Result<()> {
    let heads: Lines<BufReader<Stdin>> = BufReader::new(stdin()).lines();
    race_on(checkpointer, thread_id, heads, stdout()).await
}

async fn race_on(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    mut heads: Lines<impl AsyncBufRead + Unpin>,
    mut answers: impl AsyncWrite + Unpin,
) -> Result<()> {
    while let Some(head) = heads.next_line().await.context("speak with a racer")? {
        let answer = put_after(checkpointer, thread_id, &head).await;
        let line = format!("{}\n", answer.to_line());
        answers
            .write_all(line.as_bytes())
            .await
            .context("speak with a racer")?;
        answers.flush().await.context("speak with a racer")?;
    }
    Ok(())
}

/// Puts a checkpoint after the head, an empty name for none, guarded by it.
async fn put_after(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, head: &str) -> Answer {
    let parent = CheckpointId::new(head).ok();
    let checkpoint = Checkpoint::new(CheckpointId::generate(parent.as_ref()));
    let metadata = Metadata::new(Source::Loop, 0);
    let put = Put::new(thread_id, &checkpoint, &metadata);
    let put = match &parent {
        Some(parent) => put.parent(parent).expect_head(parent),
        None => put.expect_no_head(),
    };
    let name = |id: &CheckpointId| id.as_str().to_owned();
    match checkpointer.put(put).await {
        Ok(stored) => Answer::Won(name(&stored.checkpoint_id)),
        Err(checkpointer::Error::Conflict { head, .. }) => {
            Answer::LostTo(head.as_ref().map_or_else(String::new, name))
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}

impl Race {
    /// Judges a round that began with `before` as the head and ended with `after`.
    fn judge(&mut self, round: usize, before: &str, answers: &[Answer], after: &str) {
        let mut winners = Vec::new();
        for (racer, answer) in answers.iter().enumerate() {
            match answer {
                Answer::Won(id) => {
                    self.won[racer] += 1;
                    winners.push(id.as_str());
                }
                Answer::LostTo(_) => {}
                Answer::Failed(why) => self.violate(round, format!("racer {racer} failed: {why}")),
            }
        }
        let expected = match winners[..] {
            [] => {
                self.unwon += 1;
                before
            }
            [winner] => winner,
            _ => {
                self.violate(round, format!("{} racers won: {winners:?}", winners.len()));
                return;
            }
        };
        if after != expected {
            self.violate(round, format!("the head is `{after}`, not `{expected}`"));
        }
        for answer in answers {
            if let Answer::LostTo(head) = answer
                && head != expected
            {
                self.violate(round, format!("lost to `{head}`, not to `{expected}`"));
            }
        }
    }

    /// Checks that each winner is stored and that no two follow the same checkpoint.
    async fn check_chain(
        &mut self,
        checkpointer: &dyn Checkpointer,
        thread_id: &ThreadId,
    ) -> Result<()> {
        let list = List::thread(thread_id)?;
        let listed: Vec<_> = checkpointer
            .list(list)
            .try_collect()
            .await
            .context("call the checkpointer")?;
        let wins: usize = self.won.iter().sum();
        if listed.len() != wins {
            let stored = listed.len();
            let violation = format!("{wins} puts were acknowledged, and {stored} are stored");
            self.violations.push(violation);
        }
        let mut parents = BTreeSet::new();
        for tuple in &listed {
            let parent = tuple.parent_address.as_ref();
            let parent = parent.map(|parent| parent.checkpoint_id.clone());
            if !parents.insert(parent.clone()) {
                self.violations
                    .push(format!("two checkpoints follow {parent:?}"));
            }
        }
        Ok(())
    }

    fn violate(&mut self, round: usize, what: String) {
        self.violations.push(format!("round {round}: {what}"));
    }
}

impl Racer {
    fn start(mut command: Command) -> Result<Self> {
        let process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut process = process.context("start a racer")?;
        let (words, answers) = (process.stdin.take(), process.stdout.take());
        let words = words.context("a racer has no standard input")?;
        let answers = answers.context("a racer has no standard output")?;
        Ok(Self {
            _process: process,
            words,
            answers: BufReader::new(answers).lines(),
        })
    }

    async fn say(&mut self, head: &str) -> Result<()> {
        let line = format!("{head}\n");
        let said = self.words.write_all(line.as_bytes()).await;
        said.context("speak with a racer")
    }

    async fn answer(&mut self) -> Result<Answer> {
        while let Some(line) = (self.answers.next_line().await).context("speak with a racer")? {
            if let Some(answer) = Answer::from_line(&line) {
                return Ok(answer);
            }
        }
        bail!("a process that races has ended in the middle of the race")
    }
}

impl Answer {
    fn to_line(&self) -> String {
        match self {
            Self::Won(id) => format!("{ANSWER}won {id}"),
            Self::LostTo(id) => format!("{ANSWER}lost {id}"),
            Self::Failed(why) => format!("{ANSWER}failed {why}"),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let (_, answer) = line.split_once(ANSWER)?;
        let (word, rest) = answer.split_once(' ')?;
        let rest = rest.to_owned();
        match word {
            "won" => Some(Self::Won(rest)),
            "lost" => Some(Self::LostTo(rest)),
            _ => Some(Self::Failed(rest)),
        }
    }
}

#[cfg(test)]
mod tests;

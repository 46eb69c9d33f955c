//! `retain`

use std::time::Duration;

use checkpointer::serde_json::{Map, Value, json};
use checkpointer::{Checkpointer, Prune, PruneStrategy, Removed, Retention, ThreadId};

use super::confirm::Confirm;
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::progress::Progress;
use super::{bytes, count, json_arg, named};

/// How many threads one call looks at, so that it can be told how far it is.
const AT_ONCE: usize = 100;
const NAMED_AT_ONCE: usize = 20;

/// Remove old checkpoints and threads by a policy; says what would go, unless --apply is given
///
/// A checkpoint stays if one of the rules keeps it. Whatever the rules say, heads and pinned checkpoints
/// stay, with what they are rebuilt from.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("rule").required(true).multiple(true))]
pub(crate) struct Args {
    /// The threads; all that are due by the policy if there are none
    #[arg(value_name = "THREAD", value_parser = |text: &str| ThreadId::new(text))]
    threads: Vec<ThreadId>,
    /// Keep so many of the last checkpoints of each namespace
    #[arg(long, value_name = "COUNT", group = "rule")]
    keep_last: Option<usize>,
    /// Keep checkpoints that were put within this age, such as `30days`
    #[arg(long, value_name = "AGE", group = "rule", value_parser = humantime::parse_duration)]
    newer_than: Option<Duration>,
    /// Keep the last checkpoint of each fork
    #[arg(long)]
    fork_tips: bool,
    /// Delete threads that are unchanged for longer
    #[arg(long, value_name = "AGE", group = "rule", value_parser = humantime::parse_duration)]
    delete_after: Option<Duration>,
    /// Only threads with this in their thread metadata: `key=value`, or a JSON object
    #[arg(long, value_name = "MEMBERS", value_parser = json_arg::members)]
    only: Vec<Map<String, Value>>,
    /// No threads with this in their thread metadata. It may be given several times: what one of them
    /// names isn't touched
    #[arg(long, value_name = "MEMBERS", value_parser = json_arg::members)]
    except: Vec<Map<String, Value>>,
    /// Remove it
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let policy = args.policy()?;
    named::find(checkpointer, &args.threads).await?;
    if args.apply {
        let which = match args.threads.len() {
            0 => "all threads that are due".to_owned(),
            1 => format!("thread `{}`", args.threads[0]),
            several => format!("{several} threads"),
        };
        let what = format!("remove what the policy doesn't keep of {which}");
        args.confirm.ask(&what).await?;
    }
    let mut removed = Removed::default();
    let done = match (args.threads.is_empty(), args.apply) {
        (true, true) => due(checkpointer, &policy, &mut removed).await,
        (true, false) => look(checkpointer, policy, &mut removed).await,
        (false, _) => of_named(checkpointer, args, &policy, &mut removed).await,
    };
    // What came before a failure is told as well.
    if done.is_err() && removed.examined == 0 {
        return done.map(|()| Outcome::Failed);
    }
    let outcome = print(&removed, args.apply, output)?;
    done.map(|()| outcome)
}

/// Prunes all threads that are due, some after the other. How many they are isn't known before.
async fn due(
    checkpointer: &dyn Checkpointer,
    policy: &Retention,
    all: &mut Removed,
) -> anyhow::Result<()> {
    let progress = Progress::begin("retaining");
    loop {
        let prune = Prune::due(policy.clone()).limit(AT_ONCE);
        let some = checkpointer.prune(prune).await?;
        // A failure that would be that of every thread has cut it short: the next call would come no further.
        let is_cut_short = !some.failed.is_empty() && some.examined < AT_ONCE as u64;
        let is_over = !some.more || is_cut_short;
        let elsewhere = some.elsewhere;
        add(all, some);
        if elsewhere {
            return Err(Failure::conflict(
                "another program is at work with this policy: try again when it is done",
            ));
        }
        let (examined, checkpoints) = (all.examined, all.checkpoints);
        progress.note(format!(
            "{examined} threads, {checkpoints} checkpoints removed"
        ));
        if is_over {
            return Ok(());
        }
    }
}

/// Looks at all threads that are due.
async fn look(
    checkpointer: &dyn Checkpointer,
    policy: Retention,
    all: &mut Removed,
) -> anyhow::Result<()> {
    let _progress = Progress::begin("looking");
    let prune = Prune::due(policy).dry_run(true);
    add(all, checkpointer.prune(prune).await?);
    Ok(())
}

/// Prunes the threads that are named, some after the other.
async fn of_named(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    policy: &Retention,
    all: &mut Removed,
) -> anyhow::Result<()> {
    let progress = Progress::of("retaining", args.threads.len() as u64);
    let mut parts = args.threads.chunks(NAMED_AT_ONCE);
    while let Some(part) = parts.next() {
        let keep = PruneStrategy::Keep(policy.clone());
        let prune = Prune::new(part, keep)?.dry_run(!args.apply);
        let some = checkpointer.prune(prune).await?;
        let is_over = !some.untried.is_empty();
        add(all, some);
        progress.add(part.len() as u64);
        progress.note(format!("threads, {} checkpoints removed", all.checkpoints));
        if is_over {
            all.untried.extend(parts.by_ref().flatten().cloned());
        }
    }
    Ok(())
}

fn add(all: &mut Removed, some: Removed) {
    all.checkpoints += some.checkpoints;
    all.writes += some.writes;
    all.threads += some.threads;
    all.bytes += some.bytes;
    all.examined += some.examined;
    all.failed.extend(some.failed);
    all.untried.extend(some.untried);
}

impl Args {
    fn policy(&self) -> anyhow::Result<Retention> {
        let mut policy = match (self.keep_last, self.newer_than, self.fork_tips) {
            (Some(checkpoints), ..) => Retention::keep_last(checkpoints),
            // Only threads are to be deleted.
            (None, None, false) => Retention::keep_all(),
            _ => Retention::keep_last(1),
        };
        policy.newer_than = self.newer_than;
        policy.fork_tips = self.fork_tips;
        policy.delete_after = self.delete_after;
        policy.only = json_arg::joined("--only", &self.only)?;
        policy.except.clone_from(&self.except);
        Ok(policy)
    }
}

fn print(removed: &Removed, applied: bool, output: &mut Output) -> anyhow::Result<Outcome> {
    let failed = removed.failed.iter();
    if output.is_json() {
        let failed = failed.map(|failed| {
            let error = failed.error.for_log().to_string();
            json!({ "thread_id": failed.thread_id.as_str(), "error": error })
        });
        let untried = removed.untried.iter().map(|id| Value::from(id.as_str()));
        output.json(&json!({
            "applied": applied,
            "examined": removed.examined,
            "threads": removed.threads,
            "checkpoints": removed.checkpoints,
            "writes": removed.writes,
            "bytes": removed.bytes,
            "failed": failed.collect::<Value>(),
            "untried": untried.collect::<Value>(),
        }))?;
    } else {
        let happened = if applied { "removed" } else { "would remove" };
        output.line(format!(
            "{happened} {}, {} and {} ({}); looked at {}",
            count::shown(removed.threads, "thread"),
            count::shown(removed.checkpoints, "checkpoint"),
            count::shown(removed.writes, "pending write"),
            bytes::shown(removed.bytes),
            count::shown(removed.examined, "thread"),
        ))?;
        for failed in failed {
            output.line(format!(
                "failed: thread {}: {}",
                failed.thread_id,
                failed.error.for_log()
            ))?;
        }
        if let untried @ 1.. = removed.untried.len() {
            let untried = count::shown(untried as u64, "thread");
            output.line(format!("not tried: {untried}"))?;
        }
        if !applied {
            output.line("nothing was removed: add --apply to do it")?;
        }
    }
    Ok(match removed.failed.is_empty() {
        true => Outcome::Done,
        false => Outcome::Failed,
    })
}

//! `writes`

use checkpointer::futures_util::{TryStreamExt, pin_mut};
use checkpointer::serde_json::json;
use checkpointer::{CheckpointNs, CheckpointTuple, Checkpointer, GetTuple, Projection, ThreadId};
use inspector::{Pending, TaskState, TaskWrites};

use super::at::{At, Place};
use super::exit::Outcome;
use super::output::Output;
use super::paint::{ID, MARK, NAME, Text, painted};
use super::pick::{Pick, Sort};
use super::show::print_value;
use super::value::Room;

/// How many heads are read at the same time.
const AT_ONCE: usize = 4;

/// Show what tasks have left, and who waits for an answer, with the question
///
/// Of one thread it shows a checkpoint's writes. Without a thread it looks at the head of each thread's
/// root graph, and shows those that have any.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread; all threads if there is none
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    thread: Option<ThreadId>,
    /// The checkpoint: `head`, `head~3`, an id, or the beginning or end of one
    #[arg(value_name = "CHECKPOINT", default_value = "head", value_parser = At::parse)]
    at: At,
    /// The namespace of a subgraph; the root graph's if there is none
    #[arg(long = "ns", value_name = "NAMESPACE", value_parser = |text: &str| CheckpointNs::new(text),
        requires = "thread")]
    checkpoint_ns: Option<CheckpointNs>,
    /// Show only tasks that wait for an answer
    #[arg(long, short)]
    waiting: bool,
    /// Show large values as a whole
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    pick: Pick,
    /// Which threads come first
    #[arg(long, value_enum, default_value_t = Sort::Newest)]
    sort: Sort,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let found = match &args.thread {
        Some(thread) => of_thread(checkpointer, thread, args, output).await?,
        None => of_all(checkpointer, args, output).await?,
    };
    if !found && !output.is_json() {
        output.line(match args.waiting {
            true => "no task waits for an answer",
            false => "nothing is pending",
        })?;
    }
    Ok(Outcome::Done)
}

async fn of_thread(
    checkpointer: &dyn Checkpointer,
    thread: &ThreadId,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<bool> {
    let place = Place {
        thread: thread.clone(),
        checkpoint_ns: args.checkpoint_ns.clone().unwrap_or_default(),
    };
    let tuple = place.read(checkpointer, &args.at, Projection::All).await?;
    print_checkpoint(&tuple, args, output)
}

async fn of_all(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<bool> {
    let heads = checkpointer
        .threads(args.pick.sorted(args.sort)?)
        .map_ok(async |thread| {
            checkpointer
                .get_tuple(GetTuple::head(&thread.thread_id)?)
                .await
        });
    let heads = heads.try_buffered(AT_ONCE);
    pin_mut!(heads);
    let mut found = false;
    while let Some(head) = heads.try_next().await? {
        if let Some(head) = head {
            found |= print_checkpoint(&head, args, output)?;
        }
    }
    Ok(found)
}

/// Prints what the tasks of a checkpoint have left, and says whether that is anything.
fn print_checkpoint(
    tuple: &CheckpointTuple,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<bool> {
    let mut pending = Pending::of(tuple);
    if args.waiting {
        pending.tasks.retain(|task| task.state == TaskState::Waits);
    }
    if pending.tasks.is_empty() && !(output.is_json() && args.thread.is_some()) {
        return Ok(false);
    }
    if output.is_json() {
        output.json(&json!({
            "at": inspector::json::address(&tuple.address),
            "tasks": inspector::json::pending(&pending),
        }))?;
        return Ok(true);
    }
    let address = &tuple.address;
    let thread = Text::from("thread ").and(painted(ID, &address.thread_id));
    let id = painted(ID, &address.checkpoint_id);
    output.line(thread.and("  checkpoint ").and(id))?;
    for task in &pending.tasks {
        print_task(task, Room::full(args.full), output)?;
    }
    Ok(true)
}

/// Prints what the tasks of a checkpoint have left, if anything, below the checkpoint.
pub(crate) fn print(
    tuple: &CheckpointTuple,
    room: Room,
    output: &mut Output,
) -> anyhow::Result<()> {
    for task in &Pending::of(tuple).tasks {
        output.line("")?;
        print_task(task, room, output)?;
    }
    Ok(())
}

fn print_task(task: &TaskWrites<'_>, room: Room, output: &mut Output) -> anyhow::Result<()> {
    let state = match task.state {
        TaskState::Waits | TaskState::Failed => painted(MARK, task.state.as_str()),
        state => state.as_str().into(),
    };
    let name = Text::from("task ").and(painted(ID, task.task_id));
    output.line(name.and("  ").and(state))?;
    let notes = [
        ("question", task.question),
        ("answers", task.answers),
        ("error", task.error),
        ("scheduled", task.scheduled),
    ];
    let outputs = task
        .outputs
        .iter()
        .map(|write| (&*write.channel, Some(&*write.value)));
    for (name, value) in notes.into_iter().chain(outputs) {
        if let Some(value) = value {
            output.line(Text::from("  ").and(painted(NAME, name)))?;
            print_value(value, room, "    ", output)?;
        }
    }
    Ok(())
}

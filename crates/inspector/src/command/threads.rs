//! `threads`

mod largest;

use checkpointer::Checkpointer;
use checkpointer::futures_util::TryStreamExt;
use checkpointer::serde_json::Value;
use inspector::json;

use super::exit::Outcome;
use super::output::Output;
use super::pick::{self, Pick};
use super::table::Table;
use super::{moment, value};

/// How much of the metadata a row shows.
const METADATA_COLUMNS: usize = 80;

/// Which threads come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// Those that changed last
    Newest,
    /// Those that haven't changed for the longest time
    Oldest,
    /// Those that take most where they are stored, of the 500 that changed last
    Size,
}

/// List threads, the one that changed last first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pick: Pick,
    /// Which threads come first. By size, every row of each of those 500 is read
    #[arg(long, value_enum, default_value_t = Sort::Newest)]
    sort: Sort,
    /// List so many threads at most; 0 is all
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut query = match args.sort {
        Sort::Newest => args.pick.query()?,
        Sort::Oldest => args.pick.sorted(pick::Sort::Oldest)?,
        Sort::Size => return largest::run(checkpointer, args, output).await,
    };
    // One more shows whether there are more.
    query.limit = (args.limit > 0).then_some(args.limit.saturating_add(1));
    let mut threads = checkpointer.threads(query);
    let mut table = Table::new(&["THREAD", "CHANGED", "HEAD", "GENERATION", "METADATA"]);
    let mut count = 0;
    while let Some(thread) = threads.try_next().await? {
        if args.limit > 0 && count == args.limit {
            count += 1;
            break;
        }
        count += 1;
        if output.is_json() {
            output.json(&json::thread(&thread))?;
            continue;
        }
        let metadata = value::short(&Value::Object(thread.metadata), METADATA_COLUMNS);
        table.row([
            thread.thread_id.to_string(),
            moment::shown(thread.updated_at),
            thread
                .head
                .map_or_else(|| "-".to_owned(), |head| head.to_string()),
            thread.generation.0.to_string(),
            metadata,
        ]);
    }
    if output.is_json() {
        return Ok(Outcome::Done);
    }
    match count {
        0 => output.line("no threads")?,
        _ => table.print(output)?,
    }
    if args.limit > 0 && count > args.limit {
        output.line("there are more: --limit 0 lists all, --since and --metadata fewer")?;
    }
    Ok(Outcome::Done)
}

//! `export`

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use checkpointer::futures_util::TryStreamExt;
use checkpointer::{Checkpointer, List, Projection, ThreadId, export};
use tempfile::NamedTempFile;

use super::exit::Outcome;
use super::output::Output;
use super::progress::Progress;

/// Export threads as lines of JSON, which `import` reads
///
/// The export has the whole state: treat the file as the database itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The threads
    #[arg(required = true, value_name = "THREAD", value_parser = |text: &str| ThreadId::new(text))]
    threads: Vec<ThreadId>,
    /// Write to this file, which mustn't exist; it appears when the export is complete, and only its
    /// owner can read it. Else the export is printed
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let Some(path) = &args.output else {
        let progress = match output.width() {
            Some(_) => Progress::none(),
            None => Progress::begin("exporting"),
        };
        let to = |line: &str| output.json_line(line);
        write(checkpointer, &args.threads, progress, to).await?;
        return Ok(Outcome::Done);
    };
    if path.exists() {
        bail!("`{}` exists already: name another file", path.display());
    }
    let mut file = BufWriter::new(beside(path)?);
    let progress = Progress::begin("exporting");
    let to = |line: &str| Ok(writeln!(file, "{line}")?);
    write(checkpointer, &args.threads, progress, to).await?;
    let file = file.into_inner().context("the file can't be written")?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(Outcome::Done)
}

async fn write(
    checkpointer: &dyn Checkpointer,
    threads: &[ThreadId],
    progress: Progress,
    mut to: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if progress.is_shown() {
        progress.set_total(lines(checkpointer, threads).await?);
    }
    for thread in threads {
        let mut lines = export(checkpointer, thread)?;
        while let Some(line) = lines.try_next().await? {
            to(&line)?;
            progress.add(1);
        }
    }
    Ok(())
}

/// How many lines there will be: one for each checkpoint, and two around those of a thread.
async fn lines(checkpointer: &dyn Checkpointer, threads: &[ThreadId]) -> anyhow::Result<u64> {
    let mut count = 0;
    for thread in threads {
        let list = List::thread(thread)?.project(Projection::Metadata);
        let lines = checkpointer
            .list(list)
            .try_fold(2, async |count, _| Ok(count + 1));
        count += lines.await?;
    }
    Ok(count)
}

/// A file next to the one that is asked for. Unless it is renamed it is removed at the end.
fn beside(path: &Path) -> anyhow::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = NamedTempFile::new_in(folder);
    file.with_context(|| format!("no file can be made in `{}`", folder.display()))
}

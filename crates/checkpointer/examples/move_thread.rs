//! Moves a thread from one checkpointer to another: `docs/export.md`.
#![expect(clippy::print_stdout, reason = "an example tells what it does")]

use std::io::{BufRead, Write};

use checkpointer::futures_util::TryStreamExt;
use checkpointer::{Checkpointer, Import, MemoryCheckpointer, export};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let production = MemoryCheckpointer::new();
    let mut thread = production.thread("support-4711")?;
    thread.save(&vec!["Where is my order?".to_owned()]).await?;

    let mut file = Vec::new();
    save(&production, &mut file).await?;

    let laptop = MemoryCheckpointer::new();
    read(&laptop, file.as_slice()).await?;
    let state = laptop
        .thread::<Vec<String>>("support-4711-copy")?
        .load()
        .await?;
    println!("{state:?}");
    Ok(())
}

async fn save(checkpointer: &dyn Checkpointer, mut file: impl Write) -> anyhow::Result<()> {
    let mut lines = export(checkpointer, "support-4711")?;
    while let Some(line) = lines.try_next().await? {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

async fn read(checkpointer: &dyn Checkpointer, file: impl BufRead) -> anyhow::Result<()> {
    let mut import = Import::new(checkpointer).into_thread("support-4711-copy")?;
    for line in file.lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                // No part of a thread stays.
                import.abort().await?;
                return Err(error.into());
            }
        };
        if let Some(thread) = import.line(&line).await? {
            println!(
                "{} has {} checkpoints",
                thread.thread_id, thread.checkpoints
            );
        }
    }
    Ok(import.finish().await?)
}

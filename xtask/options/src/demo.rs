//! `cargo xtask demo`

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Parser;

/// Into how many tasks the work is cut at most, if nothing else is said.
pub const DEFAULT_TASKS: usize = 20;

/// Run an agent that audits a source tree and survives being killed
///
/// It plans the files, audits them in parallel tasks, merges, asks for approval and reports. It is
/// killed in the middle of its work and started again, then rewound and forked. Exits with 0 only
/// if nothing was lost and no recorded work repeated.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask demo", bin_name = "cargo xtask demo")]
pub struct Args {
    /// The source tree to audit [default: this checkout]
    #[arg(long, value_name = "PATH")]
    pub dir: Option<PathBuf>,
    /// The number of tasks to cut the work into, at most
    #[arg(long, default_value_t = DEFAULT_TASKS, value_parser = task_count)]
    pub tasks: usize,
    /// Ask for the approval on the terminal, instead of giving it
    #[arg(long)]
    pub ask: bool,
}

impl Args {
    /// Checks what can be checked before anything is built or started.
    ///
    /// # Errors
    ///
    /// What can't be done, in words.
    pub fn check(&self) -> Result<(), String> {
        match &self.dir {
            Some(dir) if dir.is_file() => {
                let dir = dir.display();
                return Err(format!("`{dir}` is a file; name the folder to audit"));
            }
            Some(dir) if !dir.is_dir() => {
                return Err(format!("there is no folder `{}`", dir.display()));
            }
            _ => {}
        }
        if self.ask && !io::stdin().is_terminal() {
            return Err("--ask needs a terminal: the standard input is none".to_owned());
        }
        Ok(())
    }
}

/// Parses into how many tasks the work is cut.
///
/// # Errors
///
/// If it isn't a number from 1 to 10,000.
pub fn task_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000) => Ok(count),
        _ => Err("expected a whole number from 1 to 10000".to_owned()),
    }
}

//! `completions` and `man`

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::exit::{Failure, Outcome};
use super::output::Output;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Print the manual page of the program, or of one of its commands
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The command, such as `diff`
    command: Option<String>,
}

pub(crate) fn completions(args: &CompletionsArgs, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "checkpointer", &mut script);
    output.bytes(&script)?;
    Ok(Outcome::Done)
}

pub(crate) fn man(args: &ManArgs, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut program = Cli::command();
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => {
            let command = program.find_subcommand(name).cloned();
            command.ok_or_else(|| Failure::usage(format!("there is no command `{name}`")))?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output.bytes(&page)?;
    Ok(Outcome::Done)
}

//! Programs of other packages, which tasks here build and run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use options::{bench, demo, inspect, replay};
use xshell::{Shell, cmd};

use crate::cargo::without_own_variables;
use crate::server::{self, Machine, ServerArgs, Wanted};

/// A program.
pub(crate) struct Program {
    package: &'static str,
    name: &'static str,
    profile: &'static str,
}

/// What a program has to find.
enum Needs {
    Nothing,
    /// The server that `DATABASE_URL` names for it.
    Server(ServerArgs),
    /// PostgreSQL's programs, for servers of its own.
    Programs,
}

// A doc comment here would be the help of the task in place of that of `program`.
#[derive(Debug, clap::Args)]
pub(crate) struct OnServer<A: clap::Args> {
    #[command(flatten)]
    pub(crate) program: A,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

const BENCH: Program = Program::in_release_mode("bench", "bench");
const TORTURE: Program = Program::in_release_mode("rig", "torture");
const SOAK: Program = Program::in_release_mode("rig", "soak");
const REPLAY: Program = Program::in_release_mode("rig", "replay");
pub(crate) const AUDIT: Program = Program {
    package: "demo",
    name: "audit",
    profile: "dev",
};

const CHECKPOINTER: Program = Program {
    package: "inspector",
    name: "checkpointer",
    profile: "dev",
};

pub(crate) fn inspect(sh: &Shell, args: &OnServer<inspect::Args>) -> anyhow::Result<ExitCode> {
    let mut arguments = vec![OsString::from("serve")];
    arguments.extend(given());
    run(sh, &CHECKPOINTER, &Needs::Server(args.server), &arguments)
}

pub(crate) fn bench(sh: &Shell, args: &OnServer<bench::Args>) -> anyhow::Result<ExitCode> {
    run(sh, &BENCH, &Needs::Server(args.server), &given())
}

pub(crate) fn torture(sh: &Shell) -> anyhow::Result<ExitCode> {
    run(sh, &TORTURE, &Needs::Programs, &given())
}

pub(crate) fn soak(sh: &Shell) -> anyhow::Result<ExitCode> {
    run(sh, &SOAK, &Needs::Programs, &given())
}

pub(crate) fn replay(sh: &Shell, args: &OnServer<replay::Args>) -> anyhow::Result<ExitCode> {
    let needs = if args.program.memory {
        Needs::Nothing
    } else {
        Needs::Server(args.server)
    };
    run(sh, &REPLAY, &needs, &given())
}

pub(crate) fn demo(sh: &Shell, args: &OnServer<demo::Args>) -> anyhow::Result<ExitCode> {
    let OnServer { program, server } = args;
    program.check().map_err(anyhow::Error::msg)?;
    let mut arguments = vec![OsString::from("demo")];
    if program.dir.is_none() {
        arguments.extend(["--dir".into(), sh.current_dir().into()]);
    }
    arguments.extend(given());
    run(sh, &AUDIT, &Needs::Server(*server), &arguments)
}

/// What the task was given but for `--from`: the same options are the program's.
fn given() -> Vec<OsString> {
    without_source(env::args_os().skip(2))
}

pub(crate) fn without_source(mut arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == "--from" {
            arguments.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--from=") {
            kept.push(argument);
        }
    }
    kept
}

/// Runs a program where the person stands, whom paths are relative to.
fn run(
    sh: &Shell,
    program: &Program,
    needs: &Needs,
    arguments: &[OsString],
) -> anyhow::Result<ExitCode> {
    // It is built by then.
    let mut command = program.cargo(sh, "run", "--quiet");
    match needs {
        Needs::Nothing => {}
        Needs::Server(args) => {
            let server = server::ensure(&Machine::detect(sh)?, args.wanted(None))?;
            command.env("DATABASE_URL", server.url);
        }
        Needs::Programs => {
            let programs = server::programs_for(&Machine::detect(sh)?, Wanted::default())?;
            command.env(servers::BIN, programs.folder());
        }
    }
    eprintln!("building `{}`", program.name);
    let built = program.build(sh).status();
    ensure!(built.context("run cargo")?.success(), "it can't be built");
    command.arg("--").args(arguments);
    command.current_dir(env::current_dir().context("find the current folder")?);
    let status = command.status().context("run cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

impl Program {
    const fn in_release_mode(package: &'static str, name: &'static str) -> Self {
        Self {
            package,
            name,
            profile: "release",
        }
    }

    /// Builds it, and shows that: the first time it takes minutes.
    pub(crate) fn build(&self, sh: &Shell) -> Command {
        self.cargo(sh, "build", "--message-format=human")
    }

    fn cargo(&self, sh: &Shell, subcommand: &str, option: &str) -> Command {
        let Self {
            package,
            name,
            profile,
        } = self;
        let manifest = sh.current_dir().join("Cargo.toml");
        let manifest: &OsStr = manifest.as_os_str();
        let cargo = cmd!(sh, "cargo {subcommand} {option} --manifest-path {manifest}");
        let cargo = cargo.args(["--profile", profile, "--package", package, "--bin", name]);
        without_own_variables(cargo).into()
    }
}

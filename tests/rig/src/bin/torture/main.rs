//! Tries to break the checkpointer's guarantees, with servers of its own: crashes, races and
//! refusals in large numbers, and a check of what is stored afterwards.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

mod limits;
mod model;
mod refusals;
mod runtimes;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context as _;
use checkpointer::{PostgresCheckpointer, ThreadId};
use clap::{Parser as _, ValueEnum as _};
use db::Database;
use options::torture::{Args, Section};
use rig::{
    ChunkRaces, Counts, CrashFigures, Crashes, Job, PrivateServer, Victim, Worker, settings_for,
};

#[tokio::main]
async fn main() -> ExitCode {
    rig::run_program(async || run(&Args::parse()).await).await
}

/// Runs the sections, and says whether nothing was violated.
async fn run(args: &Args) -> anyhow::Result<bool> {
    let sections = match &args.sections[..] {
        [] => Section::value_variants(),
        sections => sections,
    };
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}");
    let mut sound = true;
    for section in sections {
        let started = Instant::now();
        let violations = run_section(*section, args.scale, seed).await?;
        let seconds = started.elapsed().as_secs_f64();
        println!("  {} violations, {seconds:.0} s", violations.len());
        for violation in violations.iter().take(20) {
            println!("  VIOLATION: {violation}");
        }
        sound &= violations.is_empty();
    }
    Ok(sound)
}

/// Runs a section, prints what it did, and returns the violations.
async fn run_section(section: Section, scale: f64, seed: u64) -> anyhow::Result<Vec<String>> {
    let number = |usual: f64| (usual * scale).ceil() as u32;
    match section {
        Section::Kills => crash(Victim::Worker, number(200.0), seed).await,
        Section::Crashes => crash(Victim::Server, number(200.0), seed).await,
        Section::Chunks => chunks(number(100_000.0).into(), seed).await,
        Section::Guards => guards(number(10_000.0) as usize).await,
        Section::Runtimes => runtimes::runtimes(number(1_000.0), seed).await,
        Section::Refusals => refusals::refusals(number(2_000.0), seed).await,
        Section::Model => model::model(number(20_000.0) as usize, seed).await,
        Section::Limits => limits::limits(scale).await,
    }
}

async fn crash(victim: Victim, crashes: u32, seed: u64) -> anyhow::Result<Vec<String>> {
    let what = match victim {
        Victim::Worker => "kills of a program",
        Victim::Server => "crashes of the server",
    };
    println!("\n{crashes} {what} while its agents work");
    let server = PrivateServer::start(&[]).await?;
    let program = std::env::current_exe().context("find this program")?;
    let crashes = Crashes {
        victim,
        crashes,
        agents: 8,
        steps: 40,
        seed,
    };
    let progress = |figures: &CrashFigures| {
        if figures.crashes.is_multiple_of(20) {
            let CrashFigures { crashes, puts, .. } = figures;
            eprintln!("  {crashes} {what}, {puts} puts");
        }
    };
    let figures = crashes
        .run(&server, || Command::new(&program), progress)
        .await?;
    let CrashFigures {
        puts,
        outputs,
        conflicts,
        interruptions,
        checks,
        ..
    } = figures;
    println!("  {puts} puts and {outputs} outputs of tasks acknowledged, {conflicts} conflicts");
    println!("  {interruptions} calls failed after all their retries, {checks} checks of an agent");
    Ok(figures.violations)
}

async fn chunks(puts: u64, seed: u64) -> anyhow::Result<Vec<String>> {
    println!("\n{puts} puts beside removers, in threads that go back in time");
    let server = PrivateServer::start(&[]).await?;
    let program = std::env::current_exe().context("find this program")?;
    let races = ChunkRaces {
        puts,
        writers: 3,
        removers: 2,
        threads: 4,
        seed,
    };
    let mut said = 0;
    let progress = |counts: &Counts| {
        let puts = counts.done.get("put").copied().unwrap_or_default();
        if puts >= said + 1_000 {
            said = puts;
            eprintln!("  {puts} puts, {} violations", counts.violations.len());
        }
    };
    let counts = races
        .run(&server, || Command::new(&program), progress)
        .await?;
    for (what, count) in &counts.done {
        println!("  {count} × {what}");
    }
    Ok(counts.violations)
}

async fn guards(rounds: usize) -> anyhow::Result<Vec<String>> {
    println!("\n{rounds} rounds of two processes that save on one head");
    let server = PrivateServer::start(&[]).await?;
    let database = Database::connect(&settings_for(&server.url(), &[])).await?;
    let checkpointer = PostgresCheckpointer::setup(database).await?;
    let thread_id = ThreadId::new("race")?;
    let mut racers = Vec::new();
    for racer in 0..2 {
        let worker = Worker {
            url: server.url(),
            name: format!("racer-{racer}"),
            pool: 2,
            job: Job::Race(thread_id.as_str().to_owned()),
        };
        let mut command = Command::new(std::env::current_exe().context("find this program")?);
        worker.equip(&mut command)?;
        racers.push(command.into());
    }
    let race = rig::race(&checkpointer, &thread_id, racers, rounds).await?;
    let (won, unwon) = (race.won, race.unwon);
    println!("  won by the one and the other {won:?}, by nobody {unwon}");
    Ok(race.violations)
}

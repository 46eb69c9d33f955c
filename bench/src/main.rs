//! Measures the checkpointer, next to the least that any store must do and to LangGraph's.
//!
//! Everything is measured in one run, on one server, with one size of pool: each scenario in
//! rounds, in which the systems take turns, each in a fresh schema and after a warm-up.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use options::bench::Args;

mod acquire;
mod agents;
mod contender;
mod cpu;
mod figures;
mod floor;
mod measure;
mod ours;
mod peer;
mod picture;
mod reads;
mod report;
mod scenario;
mod server;
mod text;
mod typed;
mod work;

use contender::System;
use figures::{Figures, ListFigures};
use measure::Bench;
use peer::Peer;
use scenario::Scenario;
use server::Server;
use text::Text;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL isn't set")?;
    let peer = match args.peers.then(Peer::install) {
        Some(Ok(peer)) => Some(peer),
        Some(Err(error)) => {
            let peer = System::LangGraph.name();
            eprintln!("{peer} isn't measured: {error:#}");
            None
        }
        None => None,
    };
    let mut bench = Bench {
        server: Server::connect(url).await?,
        text: Text::read()?,
        peer,
        pool: args.pool,
        seed: args.seed,
    };
    if !args.json {
        println!("{}", bench.server.describe().await?);
    }
    let asked_for = match (args.agents, args.steps) {
        (None, None) => None,
        (agents, steps) => Some(scenario::asked_for(
            agents.unwrap_or(1),
            steps.unwrap_or(100),
        )),
    };
    let is_asked_for = asked_for.is_some();
    let mut scenarios = asked_for.map_or_else(|| scenario::USUAL.to_vec(), |one| vec![one]);
    if args.longest {
        scenarios.push(scenario::LONGEST);
    }
    if let Some(name) = &args.scenario {
        let one = scenario::named(name).context("there is no such scenario")?;
        let one = Scenario {
            agents: args.agents.unwrap_or(one.agents),
            steps: args.steps.unwrap_or(one.steps),
            ..one
        };
        let figures = measure(&mut bench, args, &one).await?;
        print(args, &one, &figures);
        return Ok(());
    }
    let (mut drawn, mut longest) = (None, None);
    for scenario in scenarios {
        let figures = measure(&mut bench, args, &scenario).await?;
        print(args, &scenario, &figures);
        if scenario.agents == 1 && (is_asked_for || scenario.name == "long-thread") {
            drawn = Some(figures);
        } else if scenario.name == scenario::LONGEST.name {
            longest = Some(figures);
        }
    }
    if !is_asked_for {
        eprintln!("list");
        let lists = bench.lists(&scenario::LIST).await?;
        let figures = ListFigures::new(&scenario::LIST, lists);
        if args.json {
            println!("{}", figures.to_json());
        } else {
            print!("{}", report::list(&figures));
        }
        eprintln!("reads");
        let figures = bench.reads().await?;
        if args.json {
            for figures in &figures {
                println!("{}", figures.to_json());
            }
        } else {
            print!("{}", report::reads(&figures));
        }
    }
    eprintln!("acquire");
    let figures = acquire::measure(&bench.server.url).await?;
    if args.json {
        for figures in &figures {
            println!("{}", figures.to_json());
        }
    } else {
        print!("{}", report::acquire(&figures));
    }
    if args.peers && bench.peer.is_none() && !args.json {
        println!("\nLangGraph wasn't measured: see above why.");
    }
    if let Some(path) = &args.svg {
        draw(path, &drawn.context("a picture needs a single agent")?)?;
        if let Some(longest) = longest {
            draw(&beside(path, "-longest"), &longest)?;
        }
    }
    Ok(())
}

/// Prints what was measured in a scenario.
fn print(args: &Args, scenario: &Scenario, figures: &[Figures]) {
    if args.json {
        for figures in figures {
            println!("{}", figures.to_json());
        }
    } else {
        print!("{}", report::scenario(scenario, args.pool, figures));
    }
}

/// Draws a thread, as this workspace's checkpointer and LangGraph's keep it.
fn draw(path: &Path, figures: &[Figures]) -> anyhow::Result<()> {
    let shown: Vec<_> = figures
        .iter()
        .filter(|figures| matches!(figures.system, System::Checkpointer | System::LangGraph))
        .collect();
    std::fs::write(path, picture::draw(&shown)).with_context(|| format!("write {}", path.display()))
}

/// The file of that name with an ending, in the same folder.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(ending);
    let mut beside = path.with_file_name(name);
    if let Some(extension) = path.extension() {
        beside.set_extension(extension);
    }
    beside
}

/// Measures the systems of a scenario in turns.
async fn measure(
    bench: &mut Bench,
    args: &Args,
    scenario: &Scenario,
) -> anyhow::Result<Vec<Figures>> {
    let systems = scenario.systems.iter().copied();
    let systems: Vec<System> = systems
        .filter(|system| *system != System::LangGraph || bench.peer.is_some())
        .collect();
    let rounds = args.rounds.min(scenario.rounds);
    let mut runs: Vec<_> = systems.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..systems.len() {
            // Each goes first in its turn.
            let at = (round + turn) % systems.len();
            let (name, system) = (scenario.name, systems[at]);
            eprintln!("{name}, round {} of {rounds}: {}", round + 1, system.name());
            let run = bench.run(scenario, system, round).await;
            runs[at].push(run.with_context(|| format!("measure {}", system.name()))?);
        }
    }
    let content_bytes = bench.work(scenario, 0, scenario.steps).content_bytes();
    let mut figures = Vec::new();
    for (system, runs) in systems.into_iter().zip(runs) {
        let round_trips = bench.round_trips(scenario, system).await;
        let round_trips =
            round_trips.with_context(|| format!("count the round trips of {}", system.name()))?;
        figures.push(Figures::new(
            system,
            scenario,
            runs,
            content_bytes,
            round_trips,
        ));
    }
    Ok(figures)
}

//! `cargo xtask bench`

use std::path::PathBuf;

use clap::Parser;

use crate::at_least_one;

/// Measure the checkpointer, next to the floor and to LangGraph's
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
pub struct Args {
    /// Measure this scenario only, with the agents and steps that are given, or its own
    #[arg(long, value_name = "NAME", conflicts_with_all = ["longest", "svg"])]
    pub scenario: Option<String>,
    /// Agents at once, in place of the usual scenarios
    #[arg(long, value_parser = at_least_one)]
    pub agents: Option<usize>,
    /// Steps of each agent, in place of the usual scenarios
    #[arg(long, value_parser = at_least_one)]
    pub steps: Option<usize>,
    /// Connections that each system has
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub pool: u32,
    /// What the text is chosen by
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How often each system is measured in each scenario
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    pub rounds: usize,
    /// Measure LangGraph's saver as well, installed by pip
    #[arg(long)]
    pub peers: bool,
    /// Measure a thread of 10,000 steps as well, ours only
    #[arg(long)]
    pub longest: bool,
    /// Print one JSON object a line: one system in one scenario
    #[arg(long)]
    pub json: bool,
    /// Draw the thousand-step thread into this file, and with `--longest` the other one into
    /// `FILE-longest`
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

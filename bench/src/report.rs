//! The figures as text.

use std::fmt::Write as _;

use settings::PoolMode;

use crate::acquire::Acquire;
use crate::contender::System;
use crate::figures::{Figures, ListFigures};
use crate::reads::Reads;
use crate::scenario::Scenario;

/// The width of a figure's name, and of a system's column.
const NAME: usize = 30;
const COLUMN: usize = 30;

/// A table of a scenario's figures, and what they come to in words.
pub(crate) fn scenario(scenario: &Scenario, pool: u32, figures: &[Figures]) -> String {
    let Scenario {
        name,
        agents,
        steps,
        ..
    } = scenario;
    let agents = count(*agents, "agent");
    let mut out = format!("\n{name}: {agents}, {steps} steps each, pool of {pool}\n\n");
    row(&mut out, "", figures, |of| of.system.name().to_owned());
    row(&mut out, "steps/s", figures, |of| {
        format!("{:.0}", of.steps_per_s)
    });
    let mut times = |name: &str, of: fn(&Figures) -> Option<f64>| {
        row(&mut out, name, figures, |figures| {
            or_unknown(of(figures), milliseconds)
        });
    };
    times("put p50", |of| Some(of.put_p50));
    times("put p99", |of| Some(of.put_p99));
    times("  first puts p50", |of| Some(of.put_p50_first));
    times("  last puts p50", |of| Some(of.put_p50_last));
    times("put_writes p50", |of| Some(of.put_writes_p50));
    times("put_writes p99", |of| Some(of.put_writes_p99));
    times("get_tuple p50", |of| of.get_p50);
    times("get_tuple p99", |of| of.get_p99);
    row(&mut out, "stored", figures, |of| bytes(of.stored_bytes));
    row(&mut out, "pending writes", figures, |of| {
        bytes(of.pending_bytes)
    });
    row(&mut out, "round trips per step", figures, |of| {
        format!("{:.2}", of.round_trips_per_step)
    });
    row(&mut out, "client CPU", figures, |of| {
        or_unknown(of.client_cpu_s, seconds)
    });
    row(&mut out, "server CPU", figures, |of| {
        or_unknown(of.server_cpu_s, seconds)
    });
    if let Some(first) = figures.first() {
        let content = i64::try_from(first.content_bytes).unwrap_or(i64::MAX);
        let content = bytes(content);
        let _ = writeln!(
            out,
            "\nEverything that was put, each thing once, is {content}."
        );
    }
    for ours in figures.iter().filter(|of| of.system.is_ours()) {
        let tables = ours.tables.iter().filter(|(_, size)| **size > 0);
        let tables: Vec<_> = tables
            .map(|(table, size)| format!("{table} {}", bytes(*size)))
            .collect();
        let _ = writeln!(out, "{} fills {}.", ours.system.name(), tables.join(", "));
        for sentence in sentences(ours, figures) {
            let _ = writeln!(out, "- {}: {sentence}", ours.system.name());
        }
    }
    out
}

/// What a list's figures come to.
pub(crate) fn list(figures: &ListFigures) -> String {
    let ListFigures {
        scenario,
        caller_p50,
        server_p50,
    } = figures;
    let (caller, server) = (milliseconds(*caller_p50), milliseconds(*server_p50));
    let more = milliseconds(caller_p50 - server_p50);
    format!(
        "\n{}: a thread of {} checkpoints, ids and metadata only\n\n\
         - A list takes {caller}, of which the server takes {server}: {more} more than that \
         (goal: at most 10 ms).\n",
        scenario.name, scenario.steps
    )
}

/// What a first read costs, and one again.
pub(crate) fn reads(figures: &[Reads]) -> String {
    let mut out =
        "\nreads: of a thread that wasn't read before, and of one that was, p50\n\n".to_owned();
    let heads = ["get_tuple, first", "again", "Thread::load, first", "again"];
    let heads = heads.map(|head| format!("{head:>COLUMN$}")).concat();
    let _ = writeln!(out, "{:NAME$}{heads}", "messages");
    for reads in figures {
        let times = [
            reads.get_first_p50,
            reads.get_again_p50,
            reads.load_first_p50,
            reads.load_again_p50,
        ];
        let times = times.map(|time| format!("{:>COLUMN$}", milliseconds(time)));
        let _ = writeln!(out, "{:<NAME$}{}", reads.messages, times.concat());
    }
    out
}

/// What a connection and one trivial query cost.
pub(crate) fn acquire(figures: &[Acquire]) -> String {
    let mut out = "\nacquire: one caller, pools of one connection, p50\n\n".to_owned();
    let _ = writeln!(out, "{:NAME$}{:>12}{:>12}", "", "acquire", "SELECT 1");
    for Acquire {
        pool,
        acquire_p50,
        query_p50,
    } in figures
    {
        let (acquire, query) = (microseconds(*acquire_p50), microseconds(*query_p50));
        let _ = writeln!(out, "{pool:NAME$}{acquire:>12}{query:>12}");
    }
    out
}

fn microseconds(milliseconds: f64) -> String {
    format!("{:.0} µs", milliseconds * 1_000.0)
}

/// How ours compares, with the goals that a scenario is measured for.
fn sentences(ours: &Figures, all: &[Figures]) -> Vec<String> {
    let scenario = &ours.scenario;
    let of = |system| all.iter().find(|of| of.system == system);
    let mut said = Vec::new();
    let is_one = scenario.agents == 1;
    // Among many agents a call waits for its turn, and its latency says little about the call.
    if let Some(floor) = of(System::Floor) {
        if is_one {
            let goal = match scenario.mode {
                PoolMode::Session => 1.8,
                PoolMode::Transaction => 2.4,
            };
            let (put, get) = (floor.put_p50, floor.get_p50);
            said.push(slower(
                "A put",
                ours.put_p50,
                put,
                "the floor's",
                Some(goal),
            ));
            if let (Some(ours), Some(floor)) = (ours.get_p50, get) {
                said.push(slower("A get_tuple", ours, floor, "the floor's", Some(1.5)));
            }
        }
        let goal = (!is_one).then_some(1);
        said.push(faster(
            ours.steps_per_s,
            floor.steps_per_s,
            "the floor",
            goal,
        ));
    }
    if let Some(peer) = of(System::LangGraph) {
        if is_one {
            said.push(slower(
                "A put",
                ours.put_p50,
                peer.put_p50,
                "LangGraph's",
                None,
            ));
        }
        let goal = (!is_one).then_some(10);
        said.push(faster(
            ours.steps_per_s,
            peer.steps_per_s,
            "LangGraph",
            goal,
        ));
    }
    if scenario.steps >= 200 {
        let ratio = ours.put_p50_last / ours.put_p50_first;
        let goal = match scenario.steps {
            ..10_000 => 1.2,
            _ => 1.5,
        };
        said.push(format!(
            "The last hundred puts take {} as long as the first (goal: at most {goal}).",
            times(ratio)
        ));
    }
    if scenario.steps >= 1000 {
        if let Some(peer) = of(System::LangGraph) {
            let ratio = peer.stored_bytes as f64 / ours.stored_bytes as f64;
            said.push(format!(
                "It stores a {ratio:.1}th of LangGraph's bytes (goal: at most a 25th)."
            ));
        }
        let ratio = ours.stored_bytes as f64 / ours.content_bytes as f64;
        let goal = if scenario.steps >= 10_000 {
            " (goal: at most 8)"
        } else {
            ""
        };
        said.push(format!(
            "It stores {} as many bytes as everything that was put, each thing once{goal}.",
            times(ratio)
        ));
    }
    said
}

fn slower(what: &str, ours: f64, other: f64, whose: &str, goal: Option<f64>) -> String {
    let goal = goal.map_or_else(String::new, |goal| format!(" (goal: at most {goal})"));
    format!(
        "{what} takes {} as long as {whose}{goal}.",
        times(ours / other)
    )
}

fn faster(ours: f64, other: f64, whom: &str, goal: Option<u32>) -> String {
    let goal = goal.map_or_else(String::new, |goal| format!(" (goal: at least {goal})"));
    format!(
        "It makes {} as many steps a second as {whom}{goal}.",
        times(ours / other)
    )
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2} times")
}

fn row(out: &mut String, name: &str, figures: &[Figures], cell: impl Fn(&Figures) -> String) {
    let cells = figures.iter().map(|of| format!("{:>COLUMN$}", cell(of)));
    let _ = writeln!(out, "{name:NAME$}{}", cells.collect::<String>());
}

fn or_unknown(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "unknown".to_owned(), text)
}

fn milliseconds(value: f64) -> String {
    format!("{value:.3} ms")
}

fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

fn bytes(bytes: i64) -> String {
    match bytes {
        1_000_000.. => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.0} kB", bytes as f64 / 1e3),
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

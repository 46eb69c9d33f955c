//! The figures of a system in a scenario, made of all its runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::contender::System;
use crate::measure::{Lists, Run};
use crate::scenario::Scenario;

/// How many puts the first and the last ones are, unless there are fewer.
const FIRST: usize = 100;

/// The figures of one system in one scenario. Latencies are in milliseconds.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) system: System,
    pub(crate) scenario: Scenario,
    pub(crate) steps_per_s: f64,
    pub(crate) put_p50: f64,
    pub(crate) put_p99: f64,
    pub(crate) put_writes_p50: f64,
    pub(crate) put_writes_p99: f64,
    pub(crate) get_p50: Option<f64>,
    pub(crate) get_p99: Option<f64>,
    pub(crate) put_p50_first: f64,
    pub(crate) put_p50_last: f64,
    pub(crate) stored_bytes: i64,
    pub(crate) pending_bytes: i64,
    pub(crate) content_bytes: usize,
    pub(crate) round_trips_per_step: f64,
    pub(crate) client_cpu_s: Option<f64>,
    pub(crate) server_cpu_s: Option<f64>,
    /// The bytes of each table, of the first run.
    pub(crate) tables: BTreeMap<String, i64>,
    /// The median put of each stretch of steps, by the step it ends with.
    pub(crate) put_by_step: Vec<(usize, f64)>,
    /// The stored bytes after steps, of the first run.
    pub(crate) bytes_by_step: Vec<(usize, i64)>,
}

impl Figures {
    pub(crate) fn new(
        system: System,
        scenario: &Scenario,
        mut runs: Vec<Run>,
        content_bytes: usize,
        round_trips_per_step: f64,
    ) -> Self {
        let all = |of: fn(&Run) -> &Vec<Vec<f64>>| -> Vec<f64> {
            runs.iter().flat_map(of).flatten().copied().collect()
        };
        let agents = || runs.iter().flat_map(|run| &run.samples.put);
        let part = |of: fn(&[f64]) -> &[f64]| -> Vec<f64> {
            agents().flat_map(|puts| of(puts)).copied().collect()
        };
        let stretch = scenario.steps.div_ceil(50);
        let put_by_step = (0..scenario.steps).step_by(stretch).map(|start| {
            let end = (start + stretch).min(scenario.steps);
            let puts = agents().flat_map(|puts| &puts[start..end]).copied();
            (end, percentile(puts.collect(), 50))
        });
        let put_by_step = put_by_step.collect();
        let (put, get) = (all(|run| &run.samples.put), all(|run| &run.samples.get));
        let put_writes = all(|run| &run.samples.put_writes);
        let seconds: f64 = runs.iter().map(|run| run.samples.seconds).sum();
        let gets = |percent| (!get.is_empty()).then(|| percentile(get.clone(), percent));
        let mean = |of: fn(&Run) -> Option<f64>| -> Option<f64> {
            let total: Option<f64> = runs.iter().map(of).sum();
            Some(total? / runs.len() as f64)
        };
        let pending = system.pending_tables();
        let tables = &runs[0].tables;
        let bytes = |is_pending: bool| {
            let tables = tables.iter();
            let counted = tables.filter(|(table, _)| {
                pending.contains(&table.as_str()) == is_pending && *table != "states"
            });
            counted.map(|(_, bytes)| bytes).sum()
        };
        Self {
            system,
            scenario: *scenario,
            steps_per_s: (runs.len() * scenario.agents * scenario.steps) as f64 / seconds,
            put_p50_first: percentile(part(|puts| &puts[..part_len(puts)]), 50),
            put_p50_last: percentile(part(|puts| &puts[puts.len() - part_len(puts)..]), 50),
            put_p50: percentile(put.clone(), 50),
            put_p99: percentile(put, 99),
            put_writes_p50: percentile(put_writes.clone(), 50),
            put_writes_p99: percentile(put_writes, 99),
            get_p50: gets(50),
            get_p99: gets(99),
            stored_bytes: bytes(false),
            pending_bytes: bytes(true),
            content_bytes,
            round_trips_per_step,
            client_cpu_s: mean(|run| run.client_cpu),
            server_cpu_s: mean(|run| run.server_cpu),
            tables: tables.clone(),
            put_by_step,
            bytes_by_step: std::mem::take(&mut runs[0].samples.weights),
        }
    }

    /// The figures as one JSON object.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "system": self.system.name(),
            "scenario": self.scenario.name,
            "agents": self.scenario.agents,
            "steps": self.scenario.steps,
            "steps_per_s": rounded(self.steps_per_s),
            "put_p50_ms": rounded(self.put_p50),
            "put_p99_ms": rounded(self.put_p99),
            "put_writes_p50_ms": rounded(self.put_writes_p50),
            "put_writes_p99_ms": rounded(self.put_writes_p99),
            "get_p50_ms": self.get_p50.map(rounded),
            "get_p99_ms": self.get_p99.map(rounded),
            "put_p50_ms_first": rounded(self.put_p50_first),
            "put_p50_ms_last": rounded(self.put_p50_last),
            "stored_bytes": self.stored_bytes,
            "pending_bytes": self.pending_bytes,
            "content_bytes": self.content_bytes,
            "round_trips_per_step": rounded(self.round_trips_per_step),
            "client_cpu_s": self.client_cpu_s.map(rounded),
            "server_cpu_s": self.server_cpu_s.map(rounded),
        })
    }
}

/// The figures of a list.
#[derive(Debug)]
pub(crate) struct ListFigures {
    pub(crate) scenario: Scenario,
    pub(crate) caller_p50: f64,
    pub(crate) server_p50: f64,
}

impl ListFigures {
    pub(crate) fn new(scenario: &Scenario, lists: Lists) -> Self {
        Self {
            scenario: *scenario,
            caller_p50: percentile(lists.caller, 50),
            server_p50: percentile(lists.server, 50),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "system": System::Checkpointer.name(),
            "scenario": self.scenario.name,
            "agents": self.scenario.agents,
            "steps": self.scenario.steps,
            "list_p50_ms": rounded(self.caller_p50),
            "list_server_p50_ms": rounded(self.server_p50),
        })
    }
}

/// A hundred puts, or half of them if there are fewer than two hundred.
fn part_len(puts: &[f64]) -> usize {
    FIRST.min(puts.len().div_ceil(2))
}

/// The value that so many percent of the values don't exceed.
pub(crate) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values[rank - 1]
}

/// Three digits behind the point: more are noise.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 50), 50.0);
        assert_eq!(percentile(values, 99), 99.0);
        assert_eq!(percentile(vec![3.0, 1.0, 2.0], 50), 2.0);
        assert_eq!(percentile(vec![7.0], 99), 7.0);
    }
}

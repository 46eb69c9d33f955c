//! What was done and what went wrong, as a table.

use std::collections::BTreeMap;
use std::fmt;

use rig::{Event, Fact};

/// How many violations are shown.
const SHOWN: usize = 20;

/// What was counted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    operations: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    /// Figures that were watched, in words.
    watched: Vec<(&'static str, String)>,
    violations: Vec<String>,
}

impl Tally {
    pub(crate) fn did(&mut self, operation: &'static str) {
        *self.operations.entry(operation).or_default() += 1;
    }

    pub(crate) fn broke(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn watched(&mut self, what: &'static str, figure: String) {
        self.watched.push((what, figure));
    }

    pub(crate) fn violated(&mut self, violations: impl IntoIterator<Item = String>) {
        self.violations.extend(violations);
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Counts what has happened to an agent.
    pub(crate) fn note(&mut self, fact: &Fact) {
        match &fact.event {
            Event::Put { .. } => self.did("checkpoints put"),
            Event::Recorded { .. } => self.did("outputs of tasks recorded"),
            Event::Conflict => self.did("puts refused, for another head"),
            Event::Interrupted(_) => self.did("calls that failed after all retries"),
            Event::Gone => self.did("agents that found their thread deleted"),
            Event::Finished => self.did("agents that finished"),
            Event::Begun { .. } | Event::Did(_) | Event::Violation(_) => {}
        }
    }

    /// The figures that show that it goes on, on one line.
    pub(crate) fn progress(&self) -> String {
        let puts = self.operations.get("checkpoints put").unwrap_or(&0);
        let checks = self.operations.get("threads checked").unwrap_or(&0);
        let faults: u64 = self.faults.values().sum();
        let violations = self.violations.len();
        format!("{puts} puts, {checks} threads checked, {faults} faults, {violations} violations")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, counts) in [("operations", &self.operations), ("faults", &self.faults)] {
            writeln!(f, "\n{title}")?;
            for (what, count) in counts {
                writeln!(f, "  {what:<45}{count:>10}")?;
            }
        }
        writeln!(f, "\nwatched")?;
        for (what, figure) in &self.watched {
            writeln!(f, "  {what:<45}{figure:>10}")?;
        }
        writeln!(f, "\nviolations{:>47}", self.violations.len())?;
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}

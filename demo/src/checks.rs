//! What has to hold, and whether it did.

use std::fmt;

use crate::table::Table;

/// A list of checks.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Check>);

#[derive(Debug)]
struct Check {
    held: bool,
    claim: &'static str,
    figures: String,
}

impl Checks {
    /// Adds a claim, whether it held, and the figures it was judged by.
    pub(crate) fn add(&mut self, claim: &'static str, held: bool, figures: impl Into<String>) {
        self.0.push(Check {
            held,
            claim,
            figures: figures.into(),
        });
    }

    /// Whether all of them held.
    pub(crate) fn all_held(&self) -> bool {
        self.0.iter().all(|check| check.held)
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["", "Claim", "What was seen"]);
        for check in &self.0 {
            let verdict = if check.held { "held" } else { "FAILED" };
            table.row([
                verdict.to_owned(),
                check.claim.to_owned(),
                check.figures.clone(),
            ]);
        }
        table.fmt(f)
    }
}

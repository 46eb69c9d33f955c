//! How many tests came to which end, and what those say that failed.

use std::fmt::Write as _;

use anyhow::Context as _;
use roxmltree::{Document, Node};

/// How much is shown of what a test says: so many lines.
const SHOWN: usize = 20;

/// How many tests came to which end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    failures: Vec<Failure>,
}

/// A test that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    name: String,
    /// What it said, as far as that is known.
    says: String,
}

impl Counts {
    /// Adds a line of libtest, like `test result: ok. 3 passed; 0 failed; …`.
    pub(crate) fn add_line(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("test ")
            && let Some(name) = test.trim_end().strip_suffix(" ... FAILED")
        {
            self.failures.push(Failure {
                name: name.to_owned(),
                says: String::new(),
            });
        }
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<_> = result.split_whitespace().collect();
        for pair in words.windows(2) {
            match (pair[0].parse::<u64>(), pair[1]) {
                (Ok(n), "passed;") => self.passed += n,
                (Ok(n), "failed;") => self.failed += n,
                _ => {}
            }
        }
    }

    /// Adds nextest's report.
    pub(crate) fn add_report(&mut self, junit: &str) -> anyhow::Result<()> {
        let report = Document::parse(junit).context("read the report of cargo-nextest")?;
        let tests = (report.descendants()).filter(|node| node.has_tag_name("testcase"));
        for test in tests {
            match test.children().find(is_failure) {
                None => self.passed += 1,
                Some(failure) => {
                    self.failed += 1;
                    self.failures.push(Failure::of(test, failure));
                }
            }
        }
        Ok(())
    }

    /// The tests that failed, with what they say.
    pub(crate) fn failures(&self) -> String {
        let mut text = String::new();
        for Failure { name, says } in &self.failures {
            let _ = writeln!(text, "FAILED: {name}");
            for line in says.lines().take(SHOWN) {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

/// Whether a part of a test's report says that it failed, or that it couldn't be run.
fn is_failure(node: &Node<'_, '_>) -> bool {
    node.has_tag_name("failure") || node.has_tag_name("error")
}

impl Failure {
    fn of(test: Node<'_, '_>, failure: Node<'_, '_>) -> Self {
        let attribute =
            |node: Node<'_, '_>, name| node.attribute(name).unwrap_or_default().to_owned();
        let says = match failure.text().map(str::trim) {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => attribute(failure, "message"),
        };
        let name = format!(
            "{} {}",
            attribute(test, "classname"),
            attribute(test, "name")
        );
        Self { name, says }
    }
}

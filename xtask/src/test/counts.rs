//! How many tests came to which end.

/// How many tests came to which end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Counts {
    /// Adds a line of libtest, like `test result: ok. 3 passed; 0 failed; …`.
    pub(crate) fn add_line(&mut self, line: &str) {
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

    /// Adds nextest's report, from the attributes of its outermost element.
    pub(crate) fn add_report(&mut self, junit: &str) {
        let element = junit
            .split_once("<testsuites ")
            .map_or("", |(_, rest)| rest);
        let element = element.split_once('>').map_or("", |(element, _)| element);
        let attribute = |name: &str| -> u64 {
            (element.split_whitespace())
                .filter_map(|word| word.strip_prefix(name)?.strip_prefix("=\""))
                .find_map(|value| value.trim_end_matches('"').parse().ok())
                .unwrap_or(0)
        };
        let failed = attribute("failures") + attribute("errors");
        self.passed += attribute("tests").saturating_sub(failed);
        self.failed += failed;
    }
}

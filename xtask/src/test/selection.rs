//! Which tests are run, and how cargo and nextest are told.

/// The package of the tests that need a browser.
pub(super) const BROWSER: &str = "browser";

/// Switches on, for the whole workspace, what any dependency of a user may.
const JSON_FEATURE: [&str; 2] = ["--features", "tests/serde-json-features"];

/// The same for packages by themselves. Both change how JSON is kept.
const SERDE_JSON: &str = "serde_json/arbitrary_precision,serde_json/preserve_order";

/// The packages that keep JSON, and the tests on a server of what becomes of it.
const JSON_PACKAGES: [&str; 3] = ["checkpointer", "checkpointer-suite", "langgraph"];
const JSON_TESTS: [&str; 4] = [
    "checkpointer::contract::",
    "checkpointer::fidelity::",
    "checkpointer::formats::",
    "langgraph::",
];

/// Which tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All but those that need a browser.
    All,
    /// Those that share a server.
    Shared,
    /// Those of what becomes of JSON, with what anybody's dependency may switch on in `serde_json`.
    Json,
}

impl Which {
    /// What nextest builds for a selection.
    pub(super) fn with_nextest(self) -> Vec<&'static str> {
        match self {
            Which::All => Vec::new(),
            Which::Shared => vec!["--test", "it"],
            Which::Json => {
                let built = ["--lib", "--test", "memory", "--test", "it"];
                [&JSON_FEATURE[..], &built].concat()
            }
        }
    }

    /// What `cargo test` takes for a selection, before and after `--`, for each time that it is run.
    pub(super) fn without_nextest(self) -> Vec<(Vec<&'static str>, &'static [&'static str])> {
        let workspace = ["--workspace", "--exclude", BROWSER];
        let on_server = [&workspace[..], &["--test", "it"]].concat();
        match self {
            Which::All => vec![(workspace.to_vec(), &[])],
            Which::Shared => vec![(on_server, &[])],
            Which::Json => {
                let packages = JSON_PACKAGES.iter().flat_map(|name| ["--package", name]);
                let features = ["--features", SERDE_JSON, "--lib", "--test", "memory"];
                let memory = packages.chain(features).collect();
                let on_server = [&on_server[..], &JSON_FEATURE].concat();
                vec![(memory, &[]), (on_server, &JSON_TESTS)]
            }
        }
    }
}

/// Which tests are run, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) which: Which,
    /// The full names of those of the binary `faults` that are left out.
    pub(crate) left_out: &'a [String],
    /// What `cargo test` takes after `--`.
    pub(crate) rest: &'a [String],
}

impl<'a> Selection<'a> {
    /// Tests of which none is left out.
    pub(crate) fn of(which: Which, rest: &'a [String]) -> Self {
        Self {
            which,
            left_out: &[],
            rest,
        }
    }

    /// What nextest runs, in its language.
    pub(super) fn filter(self) -> String {
        match self.which {
            Which::All if self.left_out.is_empty() => format!("not package({BROWSER})"),
            Which::All => {
                let left_out = any(self.left_out.iter().map(|name| format!("={name}")));
                format!("not (package({BROWSER}) | binary_id(tests::faults) & ({left_out}))")
            }
            Which::Shared => "all()".to_owned(),
            Which::Json => {
                let packages = JSON_PACKAGES.map(|name| format!("package({name})"));
                let on_server = any(JSON_TESTS.iter().map(|name| format!("/^{name}/")));
                format!(
                    "{} | binary_id(tests::it) & ({on_server})",
                    packages.join(" | ")
                )
            }
        }
    }
}

/// Those whose names match one of the patterns.
fn any(patterns: impl Iterator<Item = String>) -> String {
    let tests: Vec<_> = patterns.map(|pattern| format!("test({pattern})")).collect();
    tests.join(" | ")
}

//! The programs in the documents are those that are compiled.

const README: &str = include_str!("../../../../README.md");
const EXPORT: &str = include_str!("../../../../docs/export.md");
const LEASES: &str = include_str!("../../../../docs/leases.md");
const OBSERVABILITY: &str = include_str!("../../../../docs/observability.md");
const PAGE: &str = include_str!("../../../../docs/page.md");
const SCHEMAS: &str = include_str!("../../../../docs/schemas.md");
const RETENTION: &str = include_str!("../../../../docs/retention.md");
const TRANSACTIONS: &str = include_str!("../../../../docs/transactions.md");
const VERIFY: &str = include_str!("../../../../docs/verify.md");
const WATCHING: &str = include_str!("../../../../docs/watching.md");
const WORKERS: &str = include_str!("../../../../docs/workers.md");

/// What follows an example's documentation and its lints, as a block of code.
fn program(example: &str) -> String {
    let (_, program) = example.split_once("\n\n").unwrap();
    format!("```rust\n{program}```\n")
}

/// A function of a file, as a block of code.
fn function(file: &str, begin: &str) -> String {
    let start = file.find(begin).unwrap();
    let end = file[start..].find("\n}\n").unwrap();
    format!("```rust\n{}\n}}\n```\n", &file[start..start + end])
}

/// A method of a file, as a block of code.
fn method(file: &str, begin: &str) -> String {
    let start = file.find(begin).unwrap();
    let end = file[start..].find("\n    }\n").unwrap();
    let lines = file[start..start + end].lines().chain(["    }"]);
    let lines: Vec<_> = lines
        .map(|line| line.strip_prefix("    ").unwrap_or(line))
        .collect();
    format!("```rust\n{}\n```\n", lines.join("\n"))
}

#[test]
fn the_readme_shows_the_quickstart_as_it_is() {
    let quickstart = include_str!("../../examples/quickstart.rs");
    assert!(README.contains(&program(quickstart)));
}

#[test]
fn the_readme_shows_a_step_of_a_runtime_that_is_tested() {
    let step = function(include_str!("step.rs"), "async fn step(");
    assert!(README.contains(&step));
}

#[test]
fn the_page_on_exports_shows_its_functions_as_they_are() {
    let example = include_str!("../../examples/move_thread.rs");
    for begin in ["async fn save(", "async fn read("] {
        assert!(EXPORT.contains(&function(example, begin)));
    }
}

#[test]
fn the_page_on_leases_shows_its_example_as_it_is() {
    let lease = include_str!("../../examples/lease.rs");
    assert!(LEASES.contains(&program(lease)));
}

#[test]
fn the_page_on_observability_shows_its_example_as_it_is() {
    let observed = include_str!("../../examples/observed.rs");
    assert!(OBSERVABILITY.contains(&program(observed)));
}

#[test]
fn the_page_on_the_inspectors_page_shows_its_example_as_it_is() {
    let mounted = include_str!("../../../inspector/examples/mounted.rs");
    assert!(PAGE.contains(&program(mounted)));
}

#[test]
fn the_page_on_schemas_shows_its_example_as_it_is() {
    let tenants = include_str!("../../examples/tenants.rs");
    assert!(SCHEMAS.contains(&program(tenants)));
}

#[test]
fn the_page_on_retention_shows_its_example_as_it_is() {
    let retention = include_str!("../../examples/retention.rs");
    assert!(RETENTION.contains(&program(retention)));
}

#[test]
fn the_page_on_transactions_shows_its_example_as_it_is() {
    let order = include_str!("../../examples/order.rs");
    assert!(TRANSACTIONS.contains(&program(order)));
    let send = function(include_str!("../../examples/outbox.rs"), "async fn send(");
    assert!(TRANSACTIONS.contains(&send));
}

#[test]
fn the_page_on_verifying_shows_its_example_as_it_is() {
    let verify = include_str!("../../examples/verify.rs");
    assert!(VERIFY.contains(&program(verify)));
}

#[test]
fn the_page_on_watching_shows_its_example_as_it_is() {
    let watch = include_str!("../../examples/watch.rs");
    assert!(WATCHING.contains(&program(watch)));
}

#[test]
fn the_page_on_workers_shows_its_example_as_it_is() {
    let worker = include_str!("../../../../examples/workers/src/worker.rs");
    for begin in ["    async fn work(", "    async fn answer("] {
        assert!(WORKERS.contains(&method(worker, begin)));
    }
}

//! The programs in the documents are those that are compiled.

/// What follows an example's documentation and its lints.
fn block(example: &str) -> String {
    let program = example.split_once("\n\n").map(|(_, program)| program);
    format!("```rust\n{}```\n", program.unwrap_or_default())
}

#[test]
fn the_readme_shows_the_quickstart_as_it_is() {
    let quickstart = include_str!("../examples/quickstart.rs");
    assert!(include_str!("../../../README.md").contains(&block(quickstart)));
}

#[test]
fn the_page_on_observability_shows_its_example_as_it_is() {
    let observed = include_str!("../examples/observed.rs");
    assert!(include_str!("../../../docs/observability.md").contains(&block(observed)));
}

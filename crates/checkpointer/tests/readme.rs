//! The program in the README is the one that is compiled.

#[test]
fn the_readme_shows_the_quickstart_as_it_is() {
    let example = include_str!("../examples/quickstart.rs");
    // Behind its documentation and its lints.
    let program = example.split_once("\n\n").map(|(_, program)| program);
    let readme = include_str!("../../../README.md");
    assert!(program.is_some_and(|program| readme.contains(&format!("```rust\n{program}```\n"))));
}

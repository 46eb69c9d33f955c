//! The person at the terminal, if there is one.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;

/// Asks the person a question, and returns the answer. There is none once the terminal's input has
/// ended.
pub(crate) type Ask = fn(question: &str) -> anyhow::Result<Option<String>>;

/// How a person is asked, if there is one.
pub(crate) fn at_terminal() -> Option<Ask> {
    (io::stdin().is_terminal() && io::stderr().is_terminal()).then_some(ask)
}

fn ask(question: &str) -> anyhow::Result<Option<String>> {
    eprint!("{question} ");
    let mut answer = String::new();
    let length = io::stdin().read_line(&mut answer);
    let length = length.context("read the answer")?;
    Ok((length > 0).then(|| answer.trim().to_owned()))
}

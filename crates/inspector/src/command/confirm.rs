//! Asks before something is changed.

use std::io::{self, IsTerminal, Write};

use inspector::visible;

use super::exit::Failure;

/// What every command has that changes something.
#[derive(Debug, clap::Args)]
pub(crate) struct Confirm {
    /// Don't ask
    #[arg(long, short)]
    yes: bool,
}

impl Confirm {
    /// Asks whether to do `what`, such as "delete thread `t`". Without a terminal there is no one to ask,
    /// and so it fails.
    pub(crate) async fn ask(&self, what: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::unconfirmed(format!(
                "to {what} needs a confirmation: add --yes"
            )));
        }
        write!(io::stderr(), "{}? [y/N] ", visible(&capitalised(what)))?;
        io::stderr().flush()?;
        // On a thread of its own, so that Ctrl-C is noticed meanwhile.
        let answer = tokio::task::spawn_blocking(|| io::stdin().lines().next()).await?;
        match answer.transpose()?.as_deref().map(str::trim) {
            Some("y" | "Y" | "yes") => Ok(()),
            _ => Err(Failure::unconfirmed("nothing was changed")),
        }
    }
}

fn capitalised(what: &str) -> String {
    let mut chars = what.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}

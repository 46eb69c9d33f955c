//! What is printed.

use std::io::{self, IsTerminal, Write};

use anstream::AutoStream;
use checkpointer::serde_json::Value;
use inspector::visible_in_json;

use super::paint::Text;

/// Where answers go: readable text, or JSON for programs.
pub(crate) struct Output {
    json: bool,
    width: Option<u16>,
    to: Box<dyn Write>,
}

impl Output {
    /// Prints to the standard output. Colours stay there only on a terminal, and without `NO_COLOR`.
    pub(crate) fn stdout(json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let width = terminal_size::terminal_size().filter(|_| is_terminal);
        Self {
            json,
            width: width.map(|(width, _)| width.0),
            to: match is_terminal {
                true => Box::new(AutoStream::auto(io::stdout())),
                false => Box::new(io::BufWriter::new(AutoStream::auto(io::stdout()))),
            },
        }
    }

    /// Prints to a buffer, without colours.
    #[cfg(test)]
    pub(crate) fn buffer(json: bool, to: impl Write + 'static) -> Self {
        Self {
            json,
            width: None,
            to: Box::new(anstream::StripStream::new(Box::new(to) as Box<dyn Write>)),
        }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// How wide the terminal is, if it is one.
    pub(crate) fn width(&self) -> Option<u16> {
        self.width
    }

    /// Prints a line of text.
    pub(crate) fn line(&mut self, line: impl Into<Text>) -> anyhow::Result<()> {
        Ok(writeln!(self.to, "{}", line.into().as_str())?)
    }

    /// Prints a line of JSON.
    pub(crate) fn json(&mut self, value: &Value) -> anyhow::Result<()> {
        self.json_line(&value.to_string())
    }

    /// Prints a line that is JSON already.
    pub(crate) fn json_line(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.to, "{}", visible_in_json(line))?)
    }

    /// Prints bytes as they are: those of a script, of SQL or of a manual page.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.to.write_all(bytes)?)
    }

    /// Sees to it that everything was printed.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.to.flush()?)
    }
}

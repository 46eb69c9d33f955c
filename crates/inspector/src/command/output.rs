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
    /// Whether the command goes on though nobody reads what it prints.
    outlives_reader: bool,
}

/// The reader of what is printed has closed its end.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads what is printed any more")]
pub(crate) struct ReaderGone;

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
            outlives_reader: false,
        }
    }

    /// Lets the command go on once nobody reads what it prints. Else that fails with [`ReaderGone`].
    pub(crate) fn outlive_reader(&mut self) {
        self.outlives_reader = true;
    }

    /// Prints to a buffer, without colours.
    #[cfg(test)]
    pub(crate) fn buffer(json: bool, to: impl Write + 'static) -> Self {
        Self {
            json,
            width: None,
            to: Box::new(anstream::StripStream::new(Box::new(to) as Box<dyn Write>)),
            outlives_reader: false,
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
        let printed = writeln!(self.to, "{}", line.into().as_str());
        self.judge(printed)
    }

    /// Prints a line of JSON.
    pub(crate) fn json(&mut self, value: &Value) -> anyhow::Result<()> {
        self.json_line(&value.to_string())
    }

    /// Prints a line that is JSON already.
    pub(crate) fn json_line(&mut self, line: &str) -> anyhow::Result<()> {
        let printed = writeln!(self.to, "{}", visible_in_json(line));
        self.judge(printed)
    }

    /// Prints bytes as they are: those of a script, of SQL or of a manual page.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let printed = self.to.write_all(bytes);
        self.judge(printed)
    }

    /// Sees to it that everything was printed.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        let printed = self.to.flush();
        self.judge(printed)
    }

    /// Says whether the command is to go on.
    fn judge(&self, printed: io::Result<()>) -> anyhow::Result<()> {
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            Err(_) if !self.outlives_reader => Err(ReaderGone.into()),
            _ => Ok(()),
        }
    }
}

//! The standard error: errors, warnings and remarks, in which nothing of others acts on the terminal.

use std::env;
use std::io::{self, Write};

use inspector::visible;
use tracing_subscriber::EnvFilter;

use super::paint::Text;

/// What is printed of the log: warnings. Why the database can't be reached is told by the error at the end.
const LOGGED: &str = "warn,db::connect=error,db::database=error";

/// Prints warnings, or what `RUST_LOG` asks for: each on one line, and without colours.
pub(crate) fn log() {
    let filter = match env::var(EnvFilter::DEFAULT_ENV) {
        Ok(asked) => EnvFilter::builder().parse_lossy(asked),
        Err(_) => EnvFilter::new(LOGGED),
    };
    tracing_subscriber::fmt()
        .with_writer(|| Lines)
        .with_ansi(false)
        .with_env_filter(filter)
        .init();
}

/// Prints a line. If the terminal is gone, the exit code has to do.
pub(crate) fn say(line: impl Into<Text>) {
    let _ = writeln!(io::stderr(), "{}", line.into().as_str());
}

/// Prints an error with its causes.
pub(crate) fn report(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(told).collect();
    let _ = writeln!(io::stderr(), "error: {}", causes.join(": "));
}

/// An error without its causes, on one line. Only the settings have a list of several lines.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let text = error.to_string();
    if !error.is::<settings::Error>() {
        return visible(&text).into_owned();
    }
    let lines: Vec<_> = text.lines().map(visible).collect();
    lines.join("\n")
}

/// Prints each event of the log, which comes in one piece, as one line.
struct Lines;

impl Write for Lines {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(event);
        let line = visible(line.trim_end_matches('\n'));
        writeln!(io::stderr(), "{line}")?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

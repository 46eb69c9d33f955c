//! What a check prints: shown at once, and the last lines of it kept.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::process::Command;

use anyhow::Context as _;

/// How many lines are kept.
const KEPT: usize = 100;

/// The last lines that a check has printed.
#[derive(Debug, Default)]
pub(super) struct LastLines(VecDeque<Vec<u8>>);

/// Runs a command and shows what it prints. Returns whether it succeeded, and its last lines.
pub(super) fn run(mut command: Command) -> anyhow::Result<(bool, LastLines)> {
    // One pipe for both streams, so that the order of the lines stays.
    let (printed, printing) = io::pipe().context("make a pipe")?;
    command.stdout(printing.try_clone()?).stderr(printing);
    let mut child =
        (command.spawn()).with_context(|| format!("start {}", command.get_program().display()))?;
    // It holds the pipe open.
    drop(command);
    let kept = show(printed).context("show what it prints")?;
    Ok((child.wait()?.success(), kept))
}

/// Shows lines, as bytes: a failing test may print anything.
fn show(printed: PipeReader) -> io::Result<LastLines> {
    let (mut lines, mut line) = (BufReader::new(printed), Vec::new());
    let mut kept = LastLines::default();
    while lines.read_until(b'\n', &mut line)? > 0 {
        io::stderr().write_all(&line)?;
        kept.add(std::mem::take(&mut line));
    }
    Ok(kept)
}

impl LastLines {
    fn add(&mut self, line: Vec<u8>) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Shows them again.
    pub(super) fn show(&self) -> io::Result<()> {
        (self.0.iter()).try_for_each(|line| io::stderr().write_all(line))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::process::Command;

    use super::{KEPT, run};

    #[test]
    fn the_last_lines_of_both_streams_are_kept_in_their_order() {
        let mut command = Command::new("sh");
        let script =
            "for n in $(seq 298); do echo $n; done; echo it failed >&2; printf end; exit 3";
        command.args(["-c", script]);
        let (passed, kept) = run(command).unwrap();
        assert!(!passed);
        let lines: Vec<_> = (kept.0.iter())
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        assert_eq!(lines.len(), KEPT);
        assert_eq!(lines[0], "201\n");
        assert_eq!(lines[KEPT - 3..], ["298\n", "it failed\n", "end"]);
    }
}

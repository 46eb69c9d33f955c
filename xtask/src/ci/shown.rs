//! What a check prints: shown at once, and the last lines of it kept.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;

/// How many lines are kept.
const KEPT: usize = 100;

/// The last lines that a check has printed.
#[derive(Debug, Default)]
pub(super) struct LastLines(VecDeque<Vec<u8>>);

/// Runs a command and shows what it prints. Returns whether it succeeded, and its last lines.
pub(super) fn run(mut command: Command) -> anyhow::Result<(bool, LastLines)> {
    let mut child = (command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn())
    .with_context(|| format!("start {}", command.get_program().display()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let kept = Mutex::new(LastLines::default());
    thread::scope(|scope| {
        let errors = scope.spawn(|| show(stderr, io::stderr(), &kept));
        let shown = show(stdout, io::stdout(), &kept);
        errors.join().unwrap_or(Ok(())).and(shown)
    })
    .context("show what it prints")?;
    let kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((child.wait()?.success(), kept))
}

/// Copies lines, as bytes: a failing test may print anything.
fn show(from: Option<impl Read>, mut to: impl Write, kept: &Mutex<LastLines>) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let (mut lines, mut line) = (BufReader::new(from), Vec::new());
    while lines.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.add(std::mem::take(&mut line));
    }
    Ok(())
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
    fn the_last_lines_of_both_streams_are_kept() {
        let mut command = Command::new("sh");
        let script = "for n in $(seq 300); do echo $n; done; printf 'it failed' >&2; exit 3";
        command.args(["-c", script]);
        let (passed, kept) = run(command).unwrap();
        assert!(!passed);
        let lines: Vec<_> = kept
            .0
            .iter()
            .map(|line| String::from_utf8_lossy(line))
            .collect();
        assert_eq!(lines.len(), KEPT);
        assert!(
            lines.contains(&"it failed".into()) && lines.contains(&"300\n".into()),
            "{lines:?}"
        );
        assert!(!lines.contains(&"100\n".into()));
    }
}

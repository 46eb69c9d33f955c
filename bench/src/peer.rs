//! LangGraph's saver from `PyPI`, in a process of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use rig::package_folder;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::contender::{Contender, Site};
use crate::work::{Samples, Work};

/// A Python in a virtual environment with the peer.
#[derive(Debug)]
pub(crate) struct Peer {
    python: PathBuf,
    dir: PathBuf,
}

impl Peer {
    /// Makes the environment under `target`, unless it is there.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let dir = package_folder().join("../target/bench");
        let environment = dir.join("python");
        let python = environment.join("bin/python");
        // Written last: an environment without it was left half made.
        let stamp = environment.join("requirements.txt");
        let requirements = peers().join("requirements.txt");
        let wanted = std::fs::read(&requirements).context("read the peer's requirements")?;
        if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Self { python, dir });
        }
        eprintln!("installing the peer in {}", environment.display());
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment))?;
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .arg("--requirement")
            .arg(&requirements))?;
        std::fs::write(&stamp, wanted).context("note what is installed")?;
        Ok(Self { python, dir })
    }
}

/// Runs a command; the error has the last thing it said.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let last = said.trim_end().lines().next_back().unwrap_or_default();
        bail!("{program} failed: {last}");
    }
    Ok(())
}

/// Where the peer's program is, and what it needs.
fn peers() -> PathBuf {
    package_folder().join("peers")
}

pub(crate) struct PeerProcess {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    work_file: PathBuf,
    pid: u32,
}

pub(crate) async fn start(site: &Site, peer: Option<&Peer>) -> anyhow::Result<PeerProcess> {
    let peer = peer.context("the peer isn't installed")?;
    let mut child = tokio::process::Command::new(&peer.python)
        .arg(peers().join("langgraph_checkpoint_postgres.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the peer's program")?;
    let pid = child.id().context("the peer's program has no id")?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut process = PeerProcess {
        stdin: stdin.context("the peer's program has no input")?,
        answers: BufReader::new(stdout.context("the peer's program has no output")?).lines(),
        work_file: peer.dir.join(format!("{}.json", site.schema)),
        child,
        pid,
    };
    let Site {
        url,
        schema,
        pool,
        weigh,
        ..
    } = site;
    let start = json!({ "url": url, "schema": schema, "pool": pool, "weigh": weigh });
    process.ask(&start).await?;
    Ok(process)
}

impl PeerProcess {
    /// Sends a line and waits for the one that answers it.
    async fn ask(&mut self, question: &Value) -> anyhow::Result<String> {
        let line = format!("{question}\n");
        // If the program is gone, its missing answer says so.
        let _ = self.stdin.write_all(line.as_bytes()).await;
        let answer = self.answers.next_line().await?;
        answer.context("the peer's program ended early")
    }
}

#[async_trait]
impl Contender for PeerProcess {
    async fn prepare(&mut self, work: &Arc<Work>) -> anyhow::Result<()> {
        let text = serde_json::to_vec(&**work)?;
        std::fs::write(&self.work_file, text).context("write the peer's work")?;
        let path = self.work_file.display().to_string();
        let prepared = self.ask(&json!({ "prepare": path })).await;
        std::fs::remove_file(&self.work_file).context("remove the peer's work")?;
        prepared.map(drop)
    }

    async fn work(&mut self) -> anyhow::Result<Samples> {
        let answer = self.ask(&json!("work")).await?;
        serde_json::from_str(&answer).context("understand the peer's answer")
    }

    fn process(&self) -> u32 {
        self.pid
    }

    async fn close(self: Box<Self>) -> anyhow::Result<()> {
        let Self {
            mut child, stdin, ..
        } = *self;
        drop(stdin);
        child.wait().await.context("wait for the peer's program")?;
        Ok(())
    }
}

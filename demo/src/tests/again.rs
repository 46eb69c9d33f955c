//! The commands by which a thread is looked at after the demo.

use std::fs;
use std::process::Command as Process;

use checkpointer::ThreadId;
use clap::Parser as _;

use crate::Command;
use crate::demo::to_see_again;

/// A cargo that has a running server, and writes down what else it is told.
const CARGO: &str = r#"#!/bin/sh
if [ "$*" = "xtask db-url" ]; then
    echo 'postgres://me:p%20w@127.0.0.1:1/x?options=-ca%3Db c'
else
    echo "$DATABASE_URL" >> told
    printf '%s\n' "$@" >> told
fi"#;

#[test]
fn what_the_demo_prints_at_its_end_can_be_pasted_into_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let checkout = folder.path().join("a \"check out\" of $HOME");
    fs::create_dir(&checkout).unwrap();
    // A child writes the script: what this process holds open for writing can't be run.
    let write = r#"printf '%s\n' "$0" > cargo && chmod 755 cargo"#;
    let mut shell = Process::new("sh");
    shell.args(["-c", write, CARGO]).current_dir(&checkout);
    assert!(shell.status().unwrap().success());

    let thread_id = ThreadId::new("audit-1").unwrap();
    let said = to_see_again(&thread_id);
    let commands = said.lines().filter_map(|line| line.strip_prefix("  "));
    let run = format!(
        "PATH=\"$PWD:$PATH\"\n{}",
        commands.collect::<Vec<_>>().join("\n")
    );
    let mut shell = Process::new("sh");
    shell.args(["-e", "-c", &run]).env_remove("DATABASE_URL");
    assert!(shell.current_dir(&checkout).status().unwrap().success());

    let told = fs::read_to_string(checkout.join("told")).unwrap();
    let told: Vec<_> = told.lines().collect();
    let url = "postgres://me:p%20w@127.0.0.1:1/x?options=-ca%3Db c";
    assert_eq!(told[..5], [url, "run", "-p", env!("CARGO_PKG_NAME"), "--"]);
    let show = Command::try_parse_from(["audit"].iter().chain(&told[5..8])).unwrap();
    assert!(matches!(show, Command::Show(_)), "{show:?}");
    assert_eq!(told[8..], ["", "xtask", "inspect", "audit-1"]);
}

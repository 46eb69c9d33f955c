//! The command lines are sound.

use std::io::{self, IsTerminal as _};

use clap::{CommandFactory as _, Parser as _};

use crate::{bench, demo, inspect, replay, soak, torture};

#[test]
fn the_arguments_are_well_defined() {
    bench::Args::command().debug_assert();
    demo::Args::command().debug_assert();
    inspect::Args::command().debug_assert();
    replay::Args::command().debug_assert();
    soak::Args::command().debug_assert();
    torture::Args::command().debug_assert();
}

#[test]
fn what_the_demo_cannot_audit_is_said_before_anything_is_built() {
    let check = |dir: &str| demo::Args::parse_from(["demo", "--dir", dir]).check();
    assert_eq!(check("src"), Ok(()));
    let file = "`Cargo.toml` is a file; name the folder to audit";
    assert_eq!(check("Cargo.toml"), Err(file.to_owned()));
    let nothing = "there is no folder `nothing`";
    assert_eq!(check("nothing"), Err(nothing.to_owned()));
}

#[test]
fn a_person_is_not_asked_without_a_terminal_and_is_told_why() {
    let ask = demo::Args::parse_from(["demo", "--ask"]).check();
    let why = "--ask needs a terminal: the standard input is none";
    match io::stdin().is_terminal() {
        true => assert_eq!(ask, Ok(())),
        false => assert_eq!(ask, Err(why.to_owned())),
    }
}

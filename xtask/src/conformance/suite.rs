//! LangGraph's own tests, on its saver and on this project's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::python::{Environment, PACKAGE};

/// What `pytest` returns if all tests were run and some have failed.
const TESTS_FAILED: i32 = 1;

/// The outcomes of tests, by their names.
pub(crate) type Outcomes = BTreeMap<String, String>;

/// Runs the tests on this project's saver; those that fail, again by themselves, since some of LangGraph's
/// tests depend on the moment; and those that fail again, on LangGraph's saver. Prints the counts, and says
/// whether each that passes with LangGraph's saver passes with this one.
pub(crate) fn passes(
    sh: &Shell,
    environment: &Environment,
    variables: &[(&str, String)],
    with_official: bool,
) -> anyhow::Result<bool> {
    let suite = unpack(sh, environment)?;
    let on = |saver, tests: &[String]| run(sh, environment, variables, &suite, saver, tests);
    let tests = ["tests".to_owned()];
    let all = on("jsonb", &tests)?;
    println!("\nLangGraph's own tests: {}", counts(&all));
    if with_official {
        let official = counts(&on("official", &tests)?);
        println!("\nLangGraph's own tests, with its saver: {official}");
    }
    let failed_once = failed(&all);
    if failed_once.is_empty() {
        return Ok(true);
    }
    let failed = failed(&on("jsonb", &failed_once)?);
    for test in failed_once.iter().filter(|test| !failed.contains(test)) {
        println!("failed, and passes by itself: {test}");
    }
    if failed.is_empty() {
        return Ok(true);
    }
    let official = on("official", &failed)?;
    let regressed = regressed(&official, &failed);
    for test in &failed {
        match regressed.contains(&test) {
            true => println!("fails with this saver only: {test}"),
            false => println!("fails with LangGraph's saver as well: {test}"),
        }
    }
    Ok(regressed.is_empty())
}

/// Unpacks LangGraph's sdist, of the version that is installed, without the code that is installed.
fn unpack(sh: &Shell, environment: &Environment) -> anyhow::Result<PathBuf> {
    let python = environment.program("python");
    let version = "import importlib.metadata as m; print(m.version('langgraph'))";
    let version = cmd!(sh, "{python} -c {version}").quiet().read()?;
    let folder = sh.current_dir().join("target/python");
    let unpacked = folder.join(format!("langgraph-{version}"));
    if sh.path_exists(unpacked.join("tests")) {
        return Ok(unpacked);
    }
    let sdist = format!("langgraph=={version}");
    let options = ["--quiet", "--no-deps", "--no-binary", ":all:"];
    cmd!(
        sh,
        "{python} -m pip download {options...} --dest {folder} {sdist}"
    )
    .quiet()
    .run()
    .context("download LangGraph's sdist from PyPI")?;
    let _folder = sh.push_dir(&folder);
    let (archive, tests) = (
        format!("langgraph-{version}.tar.gz"),
        format!("langgraph-{version}/tests"),
    );
    let pytest = format!("langgraph-{version}/pyproject.toml");
    cmd!(sh, "tar -xzf {archive} {tests} {pytest}")
        .quiet()
        .run()?;
    Ok(unpacked)
}

fn run(
    sh: &Shell,
    environment: &Environment,
    variables: &[(&str, String)],
    unpacked: &Path,
    saver: &str,
    tests: &[String],
) -> anyhow::Result<Outcomes> {
    let plugin = sh.current_dir().join(PACKAGE).join("tests/langgraph_suite");
    let path = variables.iter().find(|(name, _)| *name == "PYTHONPATH");
    let path = path.map_or_else(String::new, |(_, path)| format!(":{path}"));
    let outcomes = sh.current_dir().join("target/python").join(saver);
    let python = environment.program("python");
    eprintln!("running LangGraph's own tests on the saver `{saver}`");
    let _folder = sh.push_dir(unpacked);
    let path = format!("{}{path}", plugin.display());
    let _saver = sh.push_env("SAVER", saver);
    let _outcomes = sh.push_env("OUTCOMES", &outcomes);
    let plugins = ["-p", "savers_of_suite", "-p", "no:cacheprovider"];
    let quiet = ["-q", "--tb=short", "--disable-warnings", "-o", "addopts="];
    let pytest = cmd!(
        sh,
        "{python} -m pytest {plugins...} {quiet...} -n 4 {tests...}"
    );
    let pytest = pytest
        .envs(variables.iter().cloned())
        .env("PYTHONPATH", path);
    let status = Command::from(pytest).status().context("run pytest")?;
    // Which tests fail is in the outcomes. All other failures mean that some weren't run.
    let was_run = matches!(status.code(), Some(0 | TESTS_FAILED));
    ensure!(was_run, "LangGraph's tests weren't run: {status}");
    read(&sh.read_file(&outcomes)?)
}

/// Reads lines of an outcome and the name of a test.
pub(crate) fn read(lines: &str) -> anyhow::Result<Outcomes> {
    let outcomes: Option<Outcomes> = lines
        .lines()
        .map(|line| line.split_once(' '))
        .map(|line| line.map(|(outcome, test)| (test.to_owned(), outcome.to_owned())))
        .collect();
    let outcomes = outcomes.context("understand the outcomes of LangGraph's tests")?;
    ensure!(!outcomes.is_empty(), "none of LangGraph's tests was run");
    Ok(outcomes)
}

/// The tests that fail.
pub(crate) fn failed(outcomes: &Outcomes) -> Vec<String> {
    let failed = outcomes.iter().filter(|(_, outcome)| *outcome == "failed");
    failed.map(|(test, _)| test.clone()).collect()
}

/// Of the tests that fail with this project's saver, those that don't fail with LangGraph's.
pub(crate) fn regressed<'a>(official: &Outcomes, failed: &'a [String]) -> Vec<&'a String> {
    let fails = |test| {
        official
            .get(test)
            .is_some_and(|outcome| outcome == "failed")
    };
    failed.iter().filter(|test| !fails(*test)).collect()
}

pub(crate) fn counts(outcomes: &Outcomes) -> String {
    let count = |wanted| {
        outcomes
            .values()
            .filter(|outcome| *outcome == wanted)
            .count()
    };
    let (passed, failed, skipped) = (count("passed"), count("failed"), count("skipped"));
    format!("{passed} passed, {failed} failed, {skipped} skipped")
}

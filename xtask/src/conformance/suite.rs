//! LangGraph's own tests, on its saver and on this project's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::python::{Environment, PACKAGE};

/// The outcomes of tests, by their names.
pub(crate) type Outcomes = BTreeMap<String, String>;

/// Runs the tests on both savers, prints the counts, and says whether each that passes with LangGraph's
/// saver passes with this one.
pub(crate) fn passes(
    sh: &Shell,
    environment: &Environment,
    variables: &[(&str, String)],
) -> anyhow::Result<bool> {
    let tests = unpack(sh, environment)?;
    let run = |saver| run(sh, environment, variables, &tests, saver);
    let (official, jsonb) = (run("official")?, run("jsonb")?);
    println!("\nLangGraph's own tests\n{}", table(&official, &jsonb));
    let regressed = regressed(&official, &jsonb);
    for test in &regressed {
        println!("passes with LangGraph's saver only: {test}");
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
    tests: &Path,
    saver: &str,
) -> anyhow::Result<Outcomes> {
    let plugin = sh.current_dir().join(PACKAGE).join("tests/langgraph_suite");
    let path = variables.iter().find(|(name, _)| *name == "PYTHONPATH");
    let path = path.map_or_else(String::new, |(_, path)| format!(":{path}"));
    let outcomes = sh.current_dir().join("target/python").join(saver);
    let python = environment.program("python");
    eprintln!("running LangGraph's own tests on the saver `{saver}`");
    let _folder = sh.push_dir(tests);
    let path = format!("{}{path}", plugin.display());
    let _saver = sh.push_env("SAVER", saver);
    let _outcomes = sh.push_env("OUTCOMES", &outcomes);
    let plugins = ["-p", "savers_of_suite", "-p", "no:cacheprovider"];
    let quiet = ["-q", "--tb=short", "--disable-warnings", "-o", "addopts="];
    // Its verdict is in the outcomes.
    let _ = cmd!(sh, "{python} -m pytest {plugins...} {quiet...} -n 4 tests")
        .envs(variables.iter().cloned())
        .env("PYTHONPATH", path)
        .quiet()
        .run();
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

pub(crate) fn regressed<'a>(official: &'a Outcomes, jsonb: &Outcomes) -> Vec<&'a String> {
    let passes = |outcomes: &Outcomes, test| outcomes.get(test).is_some_and(|it| it == "passed");
    let tests = official.keys();
    tests
        .filter(|test| passes(official, *test) && !passes(jsonb, *test))
        .collect()
}

pub(crate) fn table(official: &Outcomes, jsonb: &Outcomes) -> String {
    let row = |name: &str, outcomes: &Outcomes| {
        let count = |wanted| {
            outcomes
                .values()
                .filter(|outcome| *outcome == wanted)
                .count()
        };
        let (passed, failed, skipped) = (count("passed"), count("failed"), count("skipped"));
        format!("{name:<30} {passed:>7} {failed:>7} {skipped:>8}")
    };
    let head = format!(
        "{:<30} {:>7} {:>7} {:>8}",
        "saver", "passed", "failed", "skipped"
    );
    let rows = [
        head,
        row("langgraph-checkpoint-postgres", official),
        row("langgraph-checkpoint-jsonb", jsonb),
    ];
    rows.join("\n")
}

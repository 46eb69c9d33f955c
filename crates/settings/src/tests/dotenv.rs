use std::{
    env,
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use expect_test::{Expect, expect};
use tempfile::TempDir;

use super::URL;
use crate::{Error, Result, Settings};

fn folder_with(dotenv: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), dotenv).unwrap();
    dir
}

fn load(dir: &Path, environment: &[(&str, &str)]) -> Result<Settings> {
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Settings::load_from(dir, environment)
}

#[track_caller]
fn check_error(dir: &TempDir, environment: &[(&str, &str)], expected: Expect) {
    let error = load(dir.path(), environment).unwrap_err();
    let dir = dir.path().display().to_string();
    expected.assert_eq(&format!("{}\n", error.to_string().replace(&dir, "DIR")));
}

#[test]
fn a_set_variable_wins_over_the_file() {
    let dir = folder_with(
        "# development\n\
         DATABASE_URL='postgres://app:pa$$word@file/agents'\n\
         export DB_SCHEMA=\"from file\"\n\
         DB_POOL_MAX=20 # enough\n\
         OTHER=1\n",
    );
    let settings = load(dir.path(), &[("DB_SCHEMA", "set"), ("DB_POOL_MIN", "3")]).unwrap();
    assert_eq!(settings.hosts()[0].name, "file");
    assert_eq!(settings.password().unwrap().expose(), "pa$$word");
    assert_eq!(settings.schema(), Some("set"));
    assert_eq!(settings.pool_max(), 20);
    assert_eq!(settings.pool_min(), 3);
}

#[test]
fn a_variable_set_to_nothing_is_refused_in_spite_of_the_file() {
    let dir = folder_with("DB_SCHEMA=agents\n");
    let environment = [("DATABASE_URL", URL), ("DB_SCHEMA", "")];
    check_error(
        &dir,
        &environment,
        expect![[r#"
            invalid settings:
              `DB_SCHEMA`: expected a value, or not to be set at all: it is empty
        "#]],
    );
}

#[test]
fn the_first_of_two_entries_counts() {
    let dir = folder_with("DB_POOL_MAX=20\nDB_POOL_MAX=30\n");
    let settings = load(dir.path(), &[("DATABASE_URL", URL)]).unwrap();
    assert_eq!(settings.pool_max(), 20);
}

#[test]
fn the_file_may_be_in_a_folder_above_or_missing() {
    let dir = folder_with("DB_POOL_MAX=20\n");
    let below = dir.path().join("a/b");
    // A Python environment, which is no such file.
    fs::create_dir_all(below.join(".env")).unwrap();
    let settings = load(&below, &[("DATABASE_URL", URL)]).unwrap();
    assert_eq!(settings.pool_max(), 20);

    let empty = tempfile::tempdir().unwrap();
    let settings = load(empty.path(), &[("DATABASE_URL", URL)]).unwrap();
    assert_eq!(settings, Settings::from_url(URL).unwrap());
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_skipped() {
    let dir = folder_with("\u{feff}DB_POOL_MAX=20\r\nDB_POOL_MIN=2\r\n");
    let settings = load(dir.path(), &[("DATABASE_URL", URL)]).unwrap();
    assert_eq!((settings.pool_min(), settings.pool_max()), (2, 20));
}

#[test]
fn malformed_entries_are_reported_by_line_and_with_everything_else() {
    let long = "x".repeat(20_000);
    let dir = folder_with(&format!(
        "DB_POOL_MAX=many\n\nLONG={long}\nDB_SCHEMA=hunter2 hunter3\nhunter4\nA='hunter5\nhunter6"
    ));
    check_error(
        &dir,
        &[],
        expect![[r#"
        invalid settings:
          `DIR/.env`: expected `NAME=value` entries, values with spaces in quotes: the one that ends on line 4 is malformed
          `DIR/.env`: expected `NAME=value` entries, values with spaces in quotes: the one that ends on line 5 is malformed
          `DIR/.env`: expected `NAME=value` entries, values with spaces in quotes: the one that ends on line 7 is malformed
          `DATABASE_URL`: expected a URL such as `postgres://user:password@host/dbname`: it is not set
          `DB_POOL_MAX`: expected a whole number from 1 to 1000
    "#]],
    );
}

#[test]
fn a_file_that_is_not_text_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), b"DB_SCHEMA=hunter2\xff\n").unwrap();
    check_error(
        &dir,
        &[],
        expect![[r#"
        failed to read `DIR/.env`
    "#]],
    );
    let Err(Error::ReadDotenv { path, source }) = load(dir.path(), &[]) else {
        panic!("the file should be refused");
    };
    assert_eq!(path, dir.path().join(".env"));
    expect!["stream did not contain valid UTF-8"].assert_eq(&source.to_string());
}

/// Runs itself once more as a process with an environment of its own, because
/// that of this one can't be changed safely.
#[test]
fn a_process_reads_its_own_environment_and_file() {
    const NAME: &str = "tests::dotenv::a_process_reads_its_own_environment_and_file";
    const CHILD: &str = "SETTINGS_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        assert_eq!(Settings::from_env().unwrap().pool_max(), 10);
        let settings = Settings::load().unwrap();
        assert_eq!(settings.hosts()[0].name, "db.internal");
        assert_eq!(settings.schema(), Some("set"));
        assert_eq!(settings.pool_max(), 20);
        assert_eq!(env::var_os("DB_POOL_MAX"), None);
        return;
    }

    let dir = folder_with("DB_SCHEMA=file\nDB_POOL_MAX=20\n");
    let mut child = Command::new(env::current_exe().unwrap());
    child
        .args(["--exact", NAME])
        .current_dir(dir.path())
        .env(CHILD, "1")
        .env("DATABASE_URL", URL)
        .stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("DB_") {
            child.env_remove(name);
        }
    }
    child.env("DB_SCHEMA", "set");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        child.env("NOT_UTF8", OsString::from_vec(b"\xff".to_vec()));
    }
    let output = child.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

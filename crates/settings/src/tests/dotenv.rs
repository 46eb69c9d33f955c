//! What a `.env` file says, and what it may not.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use tempfile::TempDir;

use super::URL;
use crate::{Error, Result, Settings};

fn folder_with(dotenv: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), dotenv).unwrap();
    dir
}

fn load(dir: &Path, environment: &[(&str, &str)]) -> Result<Settings> {
    Settings::load_from(dir, [], environment.iter().copied().map(pair))
}

fn pair((name, value): (&str, &str)) -> (OsString, OsString) {
    (name.into(), value.into())
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
fn a_default_of_the_program_counts_where_neither_says_anything() {
    let dir = folder_with("DB_POOL_MAX=20\n");
    let defaults = [
        ("DB_POOL_MAX", "2"),
        ("DB_SCHEMA", "default"),
        ("DB_STARTUP_TIMEOUT", "5s"),
    ];
    let environment = [("DATABASE_URL", URL), ("DB_SCHEMA", "set")].map(pair);
    let settings = Settings::load_from(dir.path(), defaults, environment).unwrap();
    assert_eq!(settings.pool_max(), 20);
    assert_eq!(settings.schema(), Some("set"));
    assert_eq!(settings.startup_timeout(), Duration::from_secs(5));
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
fn malformed_entries_of_ours_are_reported_by_line_and_with_everything_else() {
    let long = "x".repeat(20_000);
    let dir = folder_with(&format!(
        "DB_POOL_MAX=many\n\nLONG={long}\nDB_SCHEMA=hunter2 hunter3\nDB_POOL_MODE\n\
         DB_SSLCERT=hunter4\\q\nDB_SSLKEY='hunter5\nDB_POOL_MIN: 5\nDB_SSLMODE=\"require"
    ));
    check_error(
        &dir,
        &[],
        expect![[r#"
            invalid settings:
              `DB_SCHEMA`: expected `NAME=value`; a value with spaces is in quotes, and a `\` is written `\\` or between single quotes (line 4 of `DIR/.env`)
              `DB_POOL_MODE`: expected `NAME=value`; a value with spaces is in quotes, and a `\` is written `\\` or between single quotes (line 5 of `DIR/.env`)
              `DB_SSLCERT`: expected `NAME=value`; a value with spaces is in quotes, and a `\` is written `\\` or between single quotes (line 6 of `DIR/.env`)
              `DB_SSLKEY`: expected each quote to be closed (line 7 of `DIR/.env`)
              `DB_POOL_MIN`: expected `NAME=value`; a value with spaces is in quotes, and a `\` is written `\\` or between single quotes (line 8 of `DIR/.env`)
              `DB_SSLMODE`: expected each quote to be closed (line 9 of `DIR/.env`)
              `DATABASE_URL`: expected a URL such as `postgres://user:password@host/dbname`: it is not set
              `DB_POOL_MAX`: expected a whole number from 1 to 1000
        "#]],
    );
}

/// Checks the schema that a file gives, whose first line has the number 1.
#[track_caller]
fn check_schema(dotenv: &str, environment: &[(&str, &str)], expected: &str) {
    let dir = folder_with(dotenv);
    let url = [("DATABASE_URL", URL)];
    let all: Vec<_> = url.iter().chain(environment).copied().collect();
    let settings = load(dir.path(), &all).unwrap();
    assert_eq!(settings.schema(), Some(expected), "{dotenv}");
}

#[test]
fn a_line_that_names_none_of_our_variables_may_be_anything() {
    for other in [
        "GREETING=hello world",
        "GREETING=it's fine",
        "GREETING=\"open",
        "GREETING",
        "export GREETING",
        "greeting.in-words: hello",
        "== $$ ==",
        "PRICE=5$",
        "PRICE=$UNKNOWN ${",
        "DB_HOST=two words",
        "KEY=\"-----BEGIN\nMIIE=\n-----END\"",
        "KEY='a\nb=c' # d",
    ] {
        check_schema(&format!("{other}\nDB_SCHEMA=agents\n"), &[], "agents");
        check_schema(&format!("DB_SCHEMA=agents\n{other}"), &[], "agents");
    }
}

#[test]
fn a_quote_of_another_line_does_not_swallow_one_of_ours() {
    let dir = folder_with("GREETING=it's\n export DB_SCHEMA = agents\nOTHER=it's\n");
    check_error(
        &dir,
        &[("DATABASE_URL", URL)],
        expect![[r#"
            invalid settings:
              `DB_SCHEMA`: expected a line of its own, outside of the quotes that another value opens (line 1 of `DIR/.env`)
        "#]],
    );
}

#[test]
fn values_are_written_as_for_other_readers_of_such_files() {
    check_schema("DB_SCHEMA=agents", &[], "agents");
    check_schema("  export\tDB_SCHEMA = agents \t\r\n", &[], "agents");
    check_schema("DB_SCHEMA=agents # eu", &[], "agents");
    check_schema("DB_SCHEMA=agents#eu", &[], "agents#eu");
    check_schema("DB_SCHEMA='agents eu' # eu", &[], "agents eu");
    check_schema("DB_SCHEMA=\"agents \\\"eu\\\"\"", &[], "agents \"eu\"");
    check_schema("DB_SCHEMA=agents' eu'\" #1\"", &[], "agents eu #1");
    check_schema("DB_SCHEMA=agents\\ eu", &[], "agents eu");
    check_schema("DB_SCHEMA='a\nb'", &[], "a\nb");
    check_schema("DB_SCHEMA=\"a\\nb\"", &[], "a\nb");
    check_schema("export=1\nDB_SCHEMA=agents", &[], "agents");
}

proptest! {
    #[test]
    fn any_text_can_be_written_in_quotes(text in "[!-~é](\\PC{0,15}[!-~é])?") {
        prop_assume!(!text.starts_with("pg_"));
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        check_schema(&format!("DB_SCHEMA=\"{escaped}\" # comment"), &[], &text);
        if !text.contains('\'') {
            check_schema(&format!("DB_SCHEMA='{text}'#"), &[], &format!("{text}#"));
        }
    }

    #[test]
    fn a_plain_text_is_itself_or_an_error(text in "[ -~]{1,20}") {
        let dir = folder_with(&format!("DB_SCHEMA=x{text}x\n"));
        let Ok(settings) = load(dir.path(), &[("DATABASE_URL", URL)]) else {
            return Ok(());
        };
        // Quotes and backslashes are taken off, and a comment may follow a space.
        let read = settings.schema().unwrap();
        let plain = |text: &str| text.replace(['\'', '"', '\\'], "");
        let written = format!("x{text}x");
        prop_assert!(plain(&written).starts_with(&plain(read)), "{written}: {read}");
        let rest = written.len() - read.len();
        prop_assert!(rest == 0 || written.contains(['\'', '"', '\\', '#']), "{written}: {read}");
    }
}

#[test]
fn a_dollar_stands_for_a_variable_as_in_a_shell() {
    let prod = [("APP_ENV", "prod")];
    check_schema("DB_SCHEMA=agents_$APP_ENV", &prod, "agents_prod");
    check_schema("DB_SCHEMA=${APP_ENV}_agents", &prod, "prod_agents");
    check_schema("DB_SCHEMA=\"$APP_ENV agents\"", &prod, "prod agents");
    check_schema("DB_SCHEMA='$APP_ENV'", &prod, "$APP_ENV");
    check_schema("DB_SCHEMA=\\$APP_ENV", &prod, "$APP_ENV");
    check_schema("DB_SCHEMA=\"\\${APP_ENV}\"", &prod, "${APP_ENV}");
    check_schema("DB_SCHEMA=$APP_ENV-$APP_ENV.1", &prod, "prod-prod.1");

    check_schema("A=dev\nDB_SCHEMA=x_$A", &[], "x_dev");
    check_schema("A=dev\nB=\"$A 1\"\nDB_SCHEMA=$B", &[], "dev 1");
    // The environment wins, as it does for our own variables; then the first line.
    check_schema("APP_ENV=dev\nDB_SCHEMA=x_$APP_ENV", &prod, "x_prod");
    check_schema("A=dev\nA=test\nDB_SCHEMA=x_$A", &[], "x_dev");
    check_schema("A=\nDB_SCHEMA=x$A", &[], "x");

    let dir = folder_with("DATABASE_URL=postgres://$PG_USER:$PG_PASSWORD@db/agents");
    let login = [("PG_USER", "app"), ("PG_PASSWORD", "pa$$word")];
    let settings = load(dir.path(), &login).unwrap();
    assert_eq!(settings.user(), "app");
    assert_eq!(settings.password().unwrap().expose(), "pa$$word");
}

#[test]
fn a_dollar_that_stands_for_nothing_is_reported_by_line() {
    let dir = folder_with(
        "# ours\n\
         DATABASE_URL=postgres://app:hun$ter2@db/agents\n\
         DB_SCHEMA=agents_$HUNTER\n\
         BROKEN=two words\n\
         DB_APPLICATION_NAME=\"$BROKEN\"\n",
    );
    check_error(
        &dir,
        &[("UNSET", "")],
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected what follows a `$` to be a variable that is set or has a value further up; a `$` that stands for itself is written `\$` or between single quotes (line 2 of `DIR/.env`)
              `DB_SCHEMA`: expected what follows a `$` to be a variable that is set or has a value further up; a `$` that stands for itself is written `\$` or between single quotes (line 3 of `DIR/.env`)
              `DB_APPLICATION_NAME`: expected what follows a `$` to be a variable that is set or has a value further up; a `$` that stands for itself is written `\$` or between single quotes (line 5 of `DIR/.env`)
        "#]],
    );

    let dir = folder_with(
        "DATABASE_URL=postgres://app:hunter2$@db/agents\n\
         DB_SCHEMA=$(hostname)\n\
         DB_APPLICATION_NAME=${NAME:-hunter2}\n\
         DB_SSLCERT=$1\n\
         DB_SSLKEY=\"$\"\n\
         DB_SSLROOTCERT=${}\n\
         DB_SSLMODE=${HUNTER\n\
         DB_POOL_MAX=1$$\n",
    );
    check_error(
        &dir,
        &[],
        expect![[r#"
            invalid settings:
              `DATABASE_URL`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 1 of `DIR/.env`)
              `DB_SCHEMA`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 2 of `DIR/.env`)
              `DB_APPLICATION_NAME`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 3 of `DIR/.env`)
              `DB_SSLCERT`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 4 of `DIR/.env`)
              `DB_SSLKEY`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 5 of `DIR/.env`)
              `DB_SSLROOTCERT`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 6 of `DIR/.env`)
              `DB_SSLMODE`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 7 of `DIR/.env`)
              `DB_POOL_MAX`: expected `$NAME` or `${NAME}` where there is a `$`; one that stands for itself is written `\$` or between single quotes (line 8 of `DIR/.env`)
        "#]],
    );
}

#[test]
fn a_line_that_the_environment_beats_is_not_looked_at() {
    for line in [
        "DB_SCHEMA=two words",
        "DB_SCHEMA=$UNKNOWN",
        "DB_SCHEMA='open",
    ] {
        check_schema(line, &[("DB_SCHEMA", "set")], "set");
    }
}

#[test]
fn a_line_that_the_environment_beats_may_be_within_the_quotes_of_another_value() {
    let dir = folder_with("OTHER=\"a\nDATABASE_URL=x\n\"\nDB_SCHEMA=agents\n");
    let settings = load(dir.path(), &[("DATABASE_URL", URL)]).unwrap();
    assert_eq!(settings.schema(), Some("agents"));
}

#[test]
fn a_second_line_of_a_name_is_not_looked_at() {
    for second in [
        "DB_SCHEMA=two words\n",
        "DB_SCHEMA=$UNKNOWN\n",
        "OTHER=\"a\nDB_SCHEMA=x\n\"\n",
    ] {
        let dir = folder_with(&format!("DB_SCHEMA=first\n{second}"));
        let settings = load(dir.path(), &[("DATABASE_URL", URL)]).unwrap();
        assert_eq!(settings.schema(), Some("first"));
    }
}

#[test]
fn a_misspelt_name_is_reported_with_its_line() {
    let dir = folder_with("DB_HOST=db\nDB_POOLMAX=20\n");
    check_error(
        &dir,
        &[("DATABASE_URL", URL)],
        expect![[r#"
            invalid settings:
              `DB_POOLMAX`: expected the name `DB_POOL_MAX`, of which this looks like a misspelling (line 2 of `DIR/.env`)
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

/// Runs itself once more as a process with an environment of its own, because that of this one
/// can't be changed safely.
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

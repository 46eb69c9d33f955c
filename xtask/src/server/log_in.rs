//! Logs in to a server, which xtask has no driver for: `psql` does.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::Machine;

/// Succeeds if the server at a URL accepts the user and the password, or if there is no `psql` here
/// to ask it.
pub(crate) fn log_in(machine: &Machine<'_>, url: &str) -> anyhow::Result<()> {
    let folders = machine.places.path.iter();
    let Some(psql) = folders
        .map(|folder| folder.join("psql"))
        .find(|psql| psql.exists())
    else {
        eprintln!("no psql is on the PATH: whether the server accepts the password wasn't tried");
        return Ok(());
    };
    let (url, password) = without_password(url);
    let mut command = Command::new(psql);
    command.args([
        "--no-psqlrc",
        "--no-password",
        "--quiet",
        "--command",
        "SELECT",
    ]);
    command
        .arg("--dbname")
        .arg(url)
        .env("PGCONNECT_TIMEOUT", "10");
    if let Some(password) = password {
        // Not in the list of processes.
        command.env("PGPASSWORD", password);
    }
    let output = (command.stdin(Stdio::null()).output()).context("run psql")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim_end());
    Ok(())
}

/// Takes the password out of a URL.
pub(crate) fn without_password(url: &str) -> (String, Option<String>) {
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, host) = rest[..end].rsplit_once('@')?;
        let (user, password) = user.split_once(':')?;
        let url = format!("{scheme}://{user}@{host}{}", &rest[end..]);
        Some((url, Some(decoded(password)?)))
    };
    parts().unwrap_or_else(|| (url.to_owned(), None))
}

/// The text of a part of a URL, in which `%40` stands for `@`.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

//! The cargo that tasks run.

use std::env;
use std::ffi::OsStr;

use xshell::Cmd;

/// Hides from a command what the cargo that runs this program has told this program alone.
///
/// Build scripts look at some of these variables: a cargo that sees them builds again what it has
/// built without them.
pub(crate) fn without_own_variables(command: Cmd<'_>) -> Cmd<'_> {
    let variables = env::vars_os().map(|(name, _)| name);
    variables
        .filter(|name| is_own(name))
        .fold(command, |command, name| command.env_remove(name))
}

/// Whether cargo sets a variable for the program that it runs.
fn is_own(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    matches!(
        name,
        "CARGO" | "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE"
    ) || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_PKG_")
}

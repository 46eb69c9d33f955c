//! Where things are kept between runs, for all checkouts and out of reach of `cargo clean`.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::is_root;

/// Returns the folder: that of root, who can't run PostgreSQL, is within reach of the user that does.
///
/// # Errors
///
/// If there is none, as neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn folder() -> anyhow::Result<PathBuf> {
    if is_root() {
        return Ok(PathBuf::from("/var/lib/checkpointer-xtask"));
    }
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let state = state.context("neither XDG_STATE_HOME nor HOME is set")?;
    Ok(state.join("checkpointer-xtask"))
}

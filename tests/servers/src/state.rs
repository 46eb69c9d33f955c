//! Where things are kept between runs, for all checkouts and out of reach of `cargo clean`.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::is_root;

/// A folder in which nothing can be kept: it can't be made, or not be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    folder: PathBuf,
}

impl Unusable {
    /// Names the folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing can be kept in {}", self.folder.display())
    }
}

/// Returns the folder: that of root, who can't run PostgreSQL, is within reach of the user that does.
///
/// # Errors
///
/// If there is none, as neither `XDG_STATE_HOME` nor `HOME` is set, and the user has no home.
pub fn folder() -> anyhow::Result<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    folder_of(is_root(), state, env::home_dir())
}

pub(crate) fn folder_of(
    is_root: bool,
    state: Option<PathBuf>,
    home: Option<PathBuf>,
) -> anyhow::Result<PathBuf> {
    if is_root {
        return Ok(PathBuf::from("/var/lib/checkpointer-xtask"));
    }
    let state = state.filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(home?.join(".local/state")));
    let state = state.context("neither XDG_STATE_HOME nor HOME is set")?;
    Ok(state.join("checkpointer-xtask"))
}

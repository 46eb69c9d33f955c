//! Who runs a server: PostgreSQL and PgBouncer refuse to run as root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context as _;

/// A user and its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

/// Whether this program runs as root.
pub fn is_root() -> bool {
    static IS_ROOT: OnceLock<bool> = OnceLock::new();
    *IS_ROOT.get_or_init(|| id(&["-u"]) == Some(0))
}

impl User {
    /// The user that runs the servers of root.
    pub(crate) fn unprivileged() -> anyhow::Result<Self> {
        let user = |name| -> Option<Self> {
            let (uid, gid) = (id(&["-u", name])?, id(&["-g", name])?);
            Some(Self { uid, gid })
        };
        (user("postgres").or_else(|| user("nobody"))).context(
            "a server can't run as root, and there is neither a user `postgres` nor `nobody`",
        )
    }

    pub(crate) fn owner_of(path: &Path) -> Option<Self> {
        let owner = fs::metadata(path).ok()?;
        Some(Self {
            uid: owner.uid(),
            gid: owner.gid(),
        })
    }

    pub(crate) fn runs(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(crate) fn gets(self, path: &Path) -> anyhow::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("give {} to the server's user", path.display()))
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

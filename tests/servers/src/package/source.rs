//! PgBouncer built from Debian's source, for machines whose own is too old.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::digest::Digest;
use super::registry::{Clients, run};
use super::store::{Packages, open_to_all, remove, say};
use crate::pooler;

/// A program's source, in one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(super) version: &'static str,
    pub(super) url: &'static str,
    pub(super) digest: Digest,
}

/// That of Debian 13. The digest is what its list of sources tells of the file.
pub(crate) const PGBOUNCER: Source = Source {
    version: "1.24.1",
    url: "http://deb.debian.org/debian/pool/main/p/pgbouncer/pgbouncer_1.24.1.orig.tar.gz",
    digest: Digest::Sha256("da72a3aba13072876d055a3e58dd4aba4a5de4ed6148e73033185245598fd3e0"),
};

/// What the tests don't need of it, so that little has to be installed.
const CONFIGURE: [&str; 3] = ["--without-openssl", "--without-cares", "--without-systemd"];

const DOWNLOAD: &str = "import sys, urllib.request as r; r.urlretrieve(sys.argv[1], sys.argv[2])";

impl Packages {
    /// Returns the PgBouncer that was built here.
    pub fn built_pgbouncer(&self) -> Option<PathBuf> {
        let program = self
            .folder
            .join(name(&self.pgbouncer))
            .join("bin/pgbouncer");
        pooler::manages_names(&program).then_some(program)
    }

    /// Whether all is here that building PgBouncer takes.
    pub fn can_build_pgbouncer(&self) -> bool {
        let clients = Clients { path: &self.path };
        let tools: [(&str, &[&str]); 4] = [
            ("python3", &["--version"]),
            ("cc", &["--version"]),
            ("make", &["--version"]),
            ("pkg-config", &["--exists", "libevent"]),
        ];
        tools.iter().all(|(tool, arguments)| {
            let output = clients.command(tool, arguments).output();
            output.is_ok_and(|output| output.status.success())
        })
    }

    /// Returns a PgBouncer that manages the names of prepared statements. If it isn't here, it is
    /// downloaded and built, and that is said on stderr.
    ///
    /// # Errors
    ///
    /// If that fails, with the reason.
    pub fn pgbouncer(&self) -> anyhow::Result<PathBuf> {
        if let Some(program) = self.built_pgbouncer() {
            return Ok(program);
        }
        let _lock = self.lock()?;
        if let Some(program) = self.built_pgbouncer() {
            return Ok(program);
        }
        let Source { version, url, .. } = self.pgbouncer;
        say(&format!("building PgBouncer {version}, from {url}"));
        let temporary = self.folder.join("building");
        remove(&temporary)?;
        let built = self.build(&temporary);
        remove(&temporary)?;
        built.with_context(|| {
            format!(
                "build PgBouncer {version}, from {url} (that takes Python 3, cc, make, pkg-config \
                 and libevent)"
            )
        })?;
        self.built_pgbouncer().context("it doesn't run here")
    }

    fn build(&self, temporary: &Path) -> anyhow::Result<()> {
        let clients = Clients { path: &self.path };
        fs::create_dir_all(temporary).context("make a folder")?;
        let archive = temporary.join("source.tar.gz");
        let mut download = clients.command("python3", &["-c", DOWNLOAD, self.pgbouncer.url]);
        run(download.arg(&archive))?;
        self.pgbouncer.digest.check(&archive)?;
        let mut tar = clients.command("tar", &["--no-same-owner", "-xzf"]);
        run(tar.arg(&archive).arg("-C").arg(temporary))?;

        let name = name(&self.pgbouncer);
        let source = temporary.join(&name);
        let mut configure = clients.command("sh", &["configure"]);
        run(configure.args(CONFIGURE).current_dir(&source))?;
        let mut make = clients.command("make", &["-j2", "pgbouncer"]);
        run(make.current_dir(&source))?;

        let content = temporary.join("content");
        fs::create_dir_all(content.join("bin")).context("make a folder")?;
        let program = content.join("bin/pgbouncer");
        fs::copy(source.join("pgbouncer"), &program).context("keep the program")?;
        open_to_all(&content, false).context("open the program to all users")?;
        ensure!(pooler::manages_names(&program), "it doesn't run here");
        let folder = self.folder.join(name);
        remove(&folder)?;
        fs::rename(&content, &folder).context("put the program in its place")
    }
}

/// How the folder of the source is called, and that of what is built.
fn name(source: &Source) -> String {
    format!("pgbouncer-{}", source.version)
}

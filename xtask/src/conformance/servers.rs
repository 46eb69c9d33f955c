//! The server that the savers of the tests work on.

use anyhow::Context as _;
use servers::{PgBouncer, PrivateServer, Release};
use xshell::Shell;

use crate::python::PACKAGE;
use crate::server::{self, Machine, Wanted};

/// How many connections the pooler opens to its server: fewer than a saver opens to the pooler.
const CONNECTIONS: &str = "8";

/// A server that all tasks share, or one behind a pooler. That ends when this is dropped.
#[derive(Debug)]
pub(super) struct Servers {
    /// The server itself.
    url: String,
    pooled: Option<(PgBouncer, PrivateServer)>,
}

impl Servers {
    /// Finds the server that is wanted, and starts it if need be.
    pub(super) fn shared(sh: &Shell, wanted: Wanted) -> anyhow::Result<Self> {
        Ok(Self {
            url: server::ensure(&Machine::detect(sh)?, wanted)?.url,
            pooled: None,
        })
    }

    /// Starts a server and a PgBouncer before it, in transaction mode.
    pub(super) fn pooled(sh: &Shell, wanted: Wanted) -> anyhow::Result<Self> {
        let programs = server::programs_for(&Machine::detect(sh)?, wanted)?;
        let server = PrivateServer::run(programs, &[("fsync", "off"), ("max_connections", "200")])?;
        let settings = [
            ("default_pool_size", CONNECTIONS),
            ("max_client_conn", "1000"),
        ];
        let pooler = PgBouncer::before(server.port(), Release::Old, &settings);
        Ok(Self {
            url: server.url(),
            pooled: Some((pooler.context("start a pooler")?, server)),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What the tests have to know: where the server is, and where the savers find it. A saver behind a
    /// pooler has to say so, and so has each saver of each process that a test starts.
    pub(super) fn variables(&self, sh: &Shell) -> Vec<(&'static str, String)> {
        let mut variables = vec![("DATABASE_URL", self.url.clone())];
        if let Some((pooler, _)) = &self.pooled {
            let folder = sh.current_dir().join(PACKAGE).join("tests/through_pooler");
            variables.push(("SAVER_URL", pooler.url()));
            variables.push(("PYTHONPATH", folder.display().to_string()));
        }
        variables
    }
}

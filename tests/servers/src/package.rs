//! PostgreSQL's programs from a package of a registry, for machines without PostgreSQL, and
//! PgBouncer from its source.

use std::env::consts::{ARCH, OS};
use std::fmt;
use std::path::PathBuf;

mod digest;
mod pins;
mod registry;
mod source;
mod store;

#[cfg(test)]
mod tests;

pub use self::store::Packages;

use self::digest::Digest;
use self::registry::Registry;

/// A package, in one version, for one kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    platform: &'static str,
    registry: Registry,
    name: &'static str,
    version: &'static str,
    /// What its file must have.
    digest: Digest,
}

impl Package {
    /// The major version of PostgreSQL, which its own begins with.
    fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }

    /// How its folder is called.
    fn folder(&self) -> String {
        let name = self.name.trim_start_matches('@').replace('/', "-");
        format!("{name}-{}", self.version)
    }

    /// Where its programs are in that folder.
    fn programs(&self) -> PathBuf {
        match self.registry {
            Registry::PyPi => PathBuf::from(self.name.replace('-', "_")).join("pginstall/bin"),
            Registry::Npm => PathBuf::from("package/native/bin"),
        }
    }

    /// Whether it is for machines like this one.
    fn is_for_this_machine(&self) -> bool {
        !cfg!(target_env = "musl") && self.platform == format!("{OS}-{ARCH}")
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version, registry) = (self.name, self.version, self.registry);
        write!(f, "{name} {version} from {registry}")
    }
}

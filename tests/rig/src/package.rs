//! Where the files of a package are.

use std::env;
use std::path::PathBuf;

/// The folder of the package whose test or program cargo runs, found when it runs: a program may
/// have been built in another checkout that shares the target folder.
pub fn package_folder() -> PathBuf {
    let folder = env::var_os("CARGO_MANIFEST_DIR");
    PathBuf::from(folder.expect("cargo runs tests and programs, and sets CARGO_MANIFEST_DIR"))
}

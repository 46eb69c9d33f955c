//! Which files of a folder are audited.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ignore::WalkBuilder;
use serde::{Deserialize, Serialize};

use crate::table::shown;

/// The files of a folder.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// The paths of those to audit, below the folder, in order.
    pub(crate) files: Vec<String>,
    /// What is there and isn't audited, each with the reason.
    pub(crate) passed_over: Vec<String>,
    /// How many symbolic links there are; none is followed.
    pub(crate) links: usize,
}

/// Finds the folder to audit: a full path, so that a run can be continued from anywhere.
pub(crate) fn folder(dir: &Path) -> Result<String> {
    let shown = dir.display();
    let root = (dir.canonicalize()).with_context(|| format!("`{shown}` can't be audited"))?;
    if !root.is_dir() {
        bail!("`{shown}` is a file; name the folder to audit");
    }
    std::fs::read_dir(&root).with_context(|| format!("`{shown}` can't be audited"))?;
    let Ok(root) = root.into_os_string().into_string() else {
        bail!("the path of `{shown}` isn't UTF-8, so it can't be kept in a checkpoint");
    };
    Ok(root)
}

/// Counts the files to audit, of which there has to be one.
pub(crate) fn count(root: &str) -> Result<usize> {
    let files = walk(Path::new(root)).files.len();
    ensure!(
        files > 0,
        "nothing to audit in `{}`: it holds no files, or .gitignore leaves none",
        shown(root),
    );
    Ok(files)
}

/// Lists the files of a folder that `.gitignore` and its like leave, hidden ones included.
pub(crate) fn walk(root: &Path) -> Tree {
    let mut tree = Tree::default();
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .sort_by_file_path(Path::cmp)
        .build();
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                tree.passed_over.push(error.to_string());
                continue;
            }
        };
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        match entry.file_type() {
            Some(kind) if kind.is_dir() => {}
            Some(kind) if kind.is_symlink() => tree.links += 1,
            Some(kind) if kind.is_file() => match path.to_str() {
                Some(path) => tree.files.push(path.to_owned()),
                None => {
                    (tree.passed_over).push(format!("{}: its name isn't UTF-8", path.display()))
                }
            },
            _ => (tree.passed_over).push(format!("{}: no regular file", path.display())),
        }
    }
    tree
}

/// Whether a file belongs to tests, benchmarks or examples, by its path.
pub(crate) fn is_test(path: &str) -> bool {
    const FOLDERS: [&str; 9] = [
        "test",
        "tests",
        "testing",
        "testdata",
        "__tests__",
        "spec",
        "bench",
        "benches",
        "examples",
    ];
    let path = PathBuf::from(path);
    let in_folder = (path.parent().into_iter().flatten())
        .any(|folder| FOLDERS.iter().any(|name| folder == *name));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    in_folder
        || stem == "tests"
        || stem.starts_with("test_")
        || ["_test", "_tests", ".test", ".spec"]
            .iter()
            .any(|end| stem.ends_with(end))
}

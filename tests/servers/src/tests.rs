//! Where programs are found, and which folders go.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::programs::home;
use crate::{Places, Workspace};

#[test]
fn the_folder_that_a_variable_names_comes_before_the_path() {
    let path = OsStr::new("/usr/bin:/bin");
    let places = Places::on_path(Some("/named".into()), path);
    assert_eq!(
        places.path,
        ["/named", "/usr/bin", "/bin"].map(PathBuf::from)
    );
    let places = Places::on_path(None, path);
    assert_eq!(places.path, ["/usr/bin", "/bin"].map(PathBuf::from));
}

#[test]
fn a_link_to_one_program_leads_to_the_folder_of_all() {
    let workspace = Workspace::new().unwrap();
    let folder = workspace.path().canonicalize().unwrap();
    let (all, links) = (folder.join("all"), folder.join("links"));
    fs::create_dir(&all).unwrap();
    fs::create_dir(&links).unwrap();
    assert_eq!(home(all.clone()), None);
    fs::write(all.join("initdb"), "").unwrap();
    symlink(all.join("initdb"), links.join("initdb")).unwrap();
    assert_eq!(home(all.clone()), Some(all.clone()));
    assert_eq!(home(links), Some(all));
}

#[test]
fn a_temporary_folder_goes_and_another_one_stays() {
    let parent = Workspace::new().unwrap();
    let folder = parent.path().join("parent/stays");
    let path = Workspace::make(folder.clone()).unwrap().path().to_owned();
    assert!(path.join("data").is_dir());
    assert_eq!(Workspace::open(folder).path(), path);
    let temporary = parent.path().to_owned();
    drop(parent);
    assert!(!temporary.exists());
}

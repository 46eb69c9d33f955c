//! Where programs are found, and which folders go.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};

use crate::programs::home;
use crate::state::folder_of;
use crate::{PidFile, Places, Workspace};

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

#[test]
fn things_are_kept_where_the_user_says_or_at_home() {
    let path = |path: &str| Some(PathBuf::from(path));
    let kept = |is_root, state, home| folder_of(is_root, state, home).unwrap();
    let own = PathBuf::from("/state/checkpointer-xtask");
    assert_eq!(kept(false, path("/state"), path("/home")), own);
    let at_home = PathBuf::from("/home/.local/state/checkpointer-xtask");
    for no_folder in [None, path(""), path("state")] {
        assert_eq!(kept(false, no_folder, path("/home")), at_home);
    }
    let of_root = PathBuf::from("/var/lib/checkpointer-xtask");
    assert_eq!(kept(true, path("/state"), None), of_root);
    let homeless = folder_of(false, None, path("")).unwrap_err();
    assert!(
        homeless.to_string().contains("XDG_STATE_HOME"),
        "{homeless}"
    );
}

/// A pid file that names a process, before a line that nothing reads.
fn pid_file(workspace: &Workspace, pid: u32) -> PidFile {
    let file = PidFile::of(workspace.path());
    fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    fs::write(file.path(), format!("{pid}\n/data\n")).unwrap();
    file
}

#[test]
#[cfg(target_os = "linux")]
fn the_number_of_a_server_that_another_program_has_by_now_is_no_server() {
    let workspace = Workspace::new().unwrap();
    let other = pid_file(&workspace, process::id());
    assert_eq!(other.server(), None);
    other.remove_misleading().unwrap();
    assert!(!other.path().exists());
    other.remove_misleading().unwrap();

    let mut killed = Command::new("true").spawn().unwrap();
    let zombie = pid_file(&workspace, killed.id());
    let stat = format!("/proc/{}/stat", killed.id());
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::yield_now();
    }
    assert_eq!(zombie.server(), None);
    killed.wait().unwrap();
    // PostgreSQL itself knows that nothing has that number.
    zombie.remove_misleading().unwrap();
    assert!(zombie.path().exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_is_known_by_its_name_and_its_folder() {
    let workspace = Workspace::new().unwrap();
    let data = PidFile::of(workspace.path()).path();
    let data = data.parent().unwrap();
    fs::create_dir(data).unwrap();
    let postgres = workspace.path().join("postgres");
    symlink("/bin/sh", &postgres).unwrap();
    for (folder, is_server) in [(data, true), (workspace.path(), false)] {
        let mut stand_in = Command::new(&postgres)
            .args(["-c", "read line"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let file = pid_file(&workspace, stand_in.id());
        let server = is_server.then_some(stand_in.id());
        assert_eq!(file.server(), server);
        file.remove_misleading().unwrap();
        assert_eq!(file.path().exists(), is_server);
        drop(stand_in.stdin.take());
        stand_in.wait().unwrap();
    }
}

//! The running program.

use std::env;
use std::path::PathBuf;

/// How much of an application's name the server keeps.
const LONGEST: usize = 63;

/// The program's file name, as an application's name: cut to what the server keeps, and with the
/// server's `?` for what it doesn't print.
pub(crate) fn name() -> String {
    let path = env::current_exe()
        .ok()
        .or_else(|| env::args_os().next().map(PathBuf::from));
    let name = path.as_ref().and_then(|path| path.file_name());
    printable(&name.unwrap_or_default().to_string_lossy())
}

pub(crate) fn printable(name: &str) -> String {
    let name = name.strip_suffix(env::consts::EXE_SUFFIX).unwrap_or(name);
    let name: String = name
        .chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .take(LONGEST)
        .collect();
    match name.trim() {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

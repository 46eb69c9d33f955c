use std::{
    cell::Cell,
    ffi::OsString,
    fs,
    io::{self, Read},
    path::Path,
};

use crate::{Error, Result, error::Problems};

/// Reads the `.env` file of `dir` or of the nearest folder above that has one.
///
/// The variables come in an order in which the later one of the same name
/// counts; in the file it is the first, as everywhere with dotenvy.
pub(crate) fn read(dir: &Path, problems: &mut Problems) -> Result<Vec<(OsString, OsString)>> {
    // A folder called `.env` is a Python environment.
    let Some(path) = dir
        .ancestors()
        .map(|dir| dir.join(".env"))
        .find(|path| path.is_file())
    else {
        return Ok(Vec::new());
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(Error::ReadDotenv { path, source }),
    };
    // dotenvy skips a byte order mark only when it also sets the variables.
    let text = text.trim_start_matches('\u{feff}');

    let line = Cell::new(0);
    let entries = dotenvy::from_read_iter(LineByLine {
        rest: text.as_bytes(),
        line: &line,
    });
    let mut variables = Vec::new();
    for entry in entries {
        match entry {
            Ok((name, value)) => variables.push((name.into(), value.into())),
            // dotenvy's error is dropped because it repeats the line.
            Err(_) => problems.add(
                path.display().to_string(),
                format!(
                    "`NAME=value` entries, values with spaces in quotes: \
                     the one that ends on line {} is malformed",
                    line.get()
                ),
            ),
        }
    }
    variables.reverse();
    Ok(variables)
}

/// Gives one line per read and counts them, for dotenvy's errors don't say
/// where they are.
struct LineByLine<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line = self.rest.split_inclusive(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        let read = (&line[..]).read(buffer)?;
        if read > 0 && read == line.len() {
            self.line.set(self.line.get() + 1);
        }
        self.rest = &self.rest[read..];
        Ok(read)
    }
}

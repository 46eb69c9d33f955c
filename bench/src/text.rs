//! Real text: the sources and documents of this checkout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use fastrand::Rng;

/// All of the text, one file after the other, in the order of their paths.
#[derive(Debug)]
pub(crate) struct Text(String);

impl Text {
    /// Reads the checkout that this program is run in.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let checkout = rig::package_folder().join("..");
        let mut paths = Vec::new();
        find(&checkout, &mut paths)
            .with_context(|| format!("look for text in {}", checkout.display()))?;
        paths.sort();
        let mut text = String::new();
        for path in &paths {
            let file = fs::read_to_string(path);
            text += &file.with_context(|| format!("read {}", path.display()))?;
        }
        ensure!(text.len() > 100_000, "the checkout holds too little text");
        Ok(Self(text))
    }

    /// A random piece of about so many bytes.
    pub(crate) fn piece(&self, rng: &mut Rng, bytes: usize) -> &str {
        let boundary = |mut at| {
            while !self.0.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = boundary(rng.usize(..self.0.len() - bytes));
        let end = boundary(start + bytes);
        &self.0[start..end]
    }
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.starts_with('.') {
                find(&path, found)?;
            }
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "md")
        {
            found.push(path);
        }
    }
    Ok(())
}

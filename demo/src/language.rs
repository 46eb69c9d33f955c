//! Which language a file is written in, by its name.

use std::path::Path;

/// A language, and how its comments begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Language {
    pub(crate) name: &'static str,
    pub(crate) comment_signs: &'static [&'static str],
}

const fn language(name: &'static str, comment_signs: &'static [&'static str]) -> Language {
    Language {
        name,
        comment_signs,
    }
}

/// The language of Rust source files.
pub(crate) const RUST: Language = language("Rust", SLASHES);

/// Comments as C has them; lines inside a block comment often begin with a star.
const SLASHES: &[&str] = &["//", "/*", "*"];
const HASH: &[&str] = &["#"];
const DASHES: &[&str] = &["--"];
const SEMICOLON: &[&str] = &[";"];
const PERCENT: &[&str] = &["%"];
const MARKUP: &[&str] = &["<!--"];

/// Finds the language of a file; text in none of the known ones is "Other text".
pub(crate) fn of(path: &Path) -> Language {
    let name = path.file_name().and_then(|name| name.to_str());
    match name.unwrap_or_default() {
        "Makefile" | "makefile" | "GNUmakefile" => return language("Make", HASH),
        "Dockerfile" | "Containerfile" => return language("Docker", HASH),
        "CMakeLists.txt" => return language("CMake", HASH),
        "Cargo.lock" => return language("TOML", HASH),
        ".gitignore" | ".dockerignore" | ".editorconfig" | ".env" => {
            return language("Settings", HASH);
        }
        _ => {}
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "rs" => RUST,
        "c" | "h" => language("C", SLASHES),
        "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" => language("C++", SLASHES),
        "cs" => language("C#", SLASHES),
        "java" => language("Java", SLASHES),
        "kt" | "kts" => language("Kotlin", SLASHES),
        "scala" => language("Scala", SLASHES),
        "go" => language("Go", SLASHES),
        "swift" => language("Swift", SLASHES),
        "dart" => language("Dart", SLASHES),
        "zig" => language("Zig", SLASHES),
        "js" | "cjs" | "mjs" | "jsx" => language("JavaScript", SLASHES),
        "ts" | "cts" | "mts" | "tsx" => language("TypeScript", SLASHES),
        "css" | "scss" | "less" => language("CSS", SLASHES),
        "proto" => language("Protocol Buffers", SLASHES),
        "php" => language("PHP", &["//", "/*", "*", "#"]),
        "py" | "pyi" => language("Python", HASH),
        "rb" => language("Ruby", HASH),
        "pl" | "pm" => language("Perl", HASH),
        "sh" | "bash" | "zsh" | "fish" => language("Shell", HASH),
        "r" => language("R", HASH),
        "ex" | "exs" => language("Elixir", HASH),
        "nix" => language("Nix", HASH),
        "toml" => language("TOML", HASH),
        "yaml" | "yml" => language("YAML", HASH),
        "tf" | "hcl" => language("HCL", HASH),
        "mk" => language("Make", HASH),
        "cmake" => language("CMake", HASH),
        "ini" | "cfg" | "conf" | "properties" => language("Settings", &["#", ";"]),
        "sql" => language("SQL", &["--", "/*", "*"]),
        "hs" => language("Haskell", DASHES),
        "lua" => language("Lua", DASHES),
        "lisp" | "el" | "clj" | "scm" => language("Lisp", SEMICOLON),
        "asm" | "s" => language("Assembly", &[";", "#", "//"]),
        "erl" | "hrl" => language("Erlang", PERCENT),
        "tex" => language("TeX", PERCENT),
        "html" | "htm" | "xml" | "svg" | "vue" => language("Markup", MARKUP),
        "md" | "markdown" => language("Markdown", MARKUP),
        "json" | "jsonl" | "json5" => language("JSON", &[]),
        "csv" | "tsv" => language("Tables", &[]),
        _ => language("Other text", &[]),
    }
}

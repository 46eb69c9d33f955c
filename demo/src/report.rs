//! What a summary looks like to a person.

use std::fmt;

use crate::summary::{Language, Scope, Summary};
use crate::table::{Table, count, number, shown};

/// How many languages have a line of their own.
const LANGUAGES: usize = 12;

/// How many files with a problem are named.
const NAMED: usize = 8;

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::WithoutTests => f.write_str("without tests"),
            Self::Without(path) => write!(f, "without {}", shown(path)),
        }
    }
}

/// The question a person answers before the report is published.
pub(crate) fn question(summary: &Summary) -> String {
    let lines = summary.total().lines;
    format!(
        "publish the audit of {} ({}: {}, {})?",
        shown(&summary.root),
        summary.scope,
        count(summary.files, "file"),
        count(lines, "line"),
    )
}

/// The report.
pub(crate) fn text(summary: &Summary) -> String {
    let mut text = format!("Audit of {} ({})\n\n", shown(&summary.root), summary.scope);
    text += &languages(summary).to_string();
    text += "  TODO and FIXME: as words of their own, behind a comment sign on their line\n";
    if !summary.longest.is_empty() {
        let mut table = Table::new(&["Lines", "Longest Rust functions", "Where"]);
        for (path, function) in &summary.longest {
            table.row([
                number(function.lines as i128),
                function.name.clone(),
                format!("{}:{}", shown(path), function.line),
            ]);
        }
        text += &format!("\n{table}");
    }
    let mut table = Table::new(&["Bytes", "Largest files"]);
    for (path, bytes) in &summary.largest {
        table.row([number((*bytes).into()), shown(path)]);
    }
    text += &format!("\n{table}\n");
    remarks(summary, &mut text);
    text
}

fn languages(summary: &Summary) -> Table {
    let mut table = Table::new(&[
        "Language", "Files", "Lines", "Blank", "Bytes", "TODO", "FIXME",
    ]);
    let mut row = |language: &Language, name: &str| {
        table.row([
            name.to_owned(),
            number(language.files as i128),
            number(language.lines as i128),
            number(language.blank as i128),
            number(language.bytes.into()),
            number(language.todo as i128),
            number(language.fixme as i128),
        ]);
    };
    let (named, rest) = summary
        .languages
        .split_at(summary.languages.len().min(LANGUAGES));
    for language in named {
        row(language, &language.name);
    }
    if !rest.is_empty() {
        let mut others = Language::default();
        rest.iter().for_each(|language| others.add(language));
        row(&others, &format!("{} others", rest.len()));
    }
    row(&summary.total(), "All text");
    table
}

/// What doesn't fit a table.
fn remarks(summary: &Summary, text: &mut String) {
    if summary.functions > 0 {
        *text += &format!(
            "  Rust: {}, `unsafe` {}, `.unwrap()` {} (in macros too; not in comments and strings)\n",
            count(summary.functions, "function"),
            count(summary.unsafes, "time"),
            count(summary.unwraps, "time"),
        );
    }
    named(text, "Rust that doesn't parse", &summary.unparsed);
    named(text, "not audited", &summary.unread);
    if summary.binary > 0 {
        *text += &format!("  {} not text\n", count(summary.binary, "file"));
    }
    if summary.links > 0 {
        *text += &format!("  {} not followed\n", count(summary.links, "symbolic link"));
    }
}

fn named(text: &mut String, what: &str, files: &[String]) {
    if files.is_empty() {
        return;
    }
    *text += &format!("  {what}: {}\n", count(files.len(), "file"));
    for file in files.iter().take(NAMED) {
        *text += &format!("    {}\n", shown(file));
    }
    if files.len() > NAMED {
        *text += &format!("    and {} more\n", files.len() - NAMED);
    }
}

/// Two summaries side by side.
pub(crate) fn comparison(left: &Summary, right: &Summary) -> String {
    let mut table = Table::new(&[
        "",
        &left.scope.to_string(),
        &right.scope.to_string(),
        "difference",
    ]);
    let (left_total, right_total) = (left.total(), right.total());
    let figures = [
        ("files", left.files, right.files),
        ("lines of text", left_total.lines, right_total.lines),
        ("Rust functions", left.functions, right.functions),
        ("`unsafe`", left.unsafes, right.unsafes),
        ("`.unwrap()`", left.unwraps, right.unwraps),
        ("TODO", left_total.todo, right_total.todo),
        ("FIXME", left_total.fixme, right_total.fixme),
        ("longest function, in lines", longest(left), longest(right)),
    ];
    for (name, left, right) in figures {
        let (left, right) = (left as i128, right as i128);
        table.row([
            name.to_owned(),
            number(left),
            number(right),
            number(right - left),
        ]);
    }
    table.to_string()
}

fn longest(summary: &Summary) -> usize {
    summary
        .longest
        .first()
        .map_or(0, |(_, function)| function.lines)
}

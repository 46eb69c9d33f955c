//! Links in the Markdown files: each leads to a file or heading, and all pages are reached.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The root of the checkout.
fn checkout() -> PathBuf {
    // Of the checkout that cargo runs this in: another one may share its target folder.
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap());
    package.ancestors().nth(2).unwrap().to_owned()
}

/// All Markdown files below a folder, but for a crate's `docs`: these are parts of its documentation,
/// and rustdoc follows their links.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            let is_of_a_crate =
                name == "docs" && folder.join("Cargo.toml").exists() && folder != checkout();
            if name != "target" && !name.starts_with('.') && !is_of_a_crate {
                found.extend(pages(&path));
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found
}

/// The lines of a page that aren't in a block of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !is_fence && !in_block
    })
}

/// The targets of a page's links and pictures.
fn targets(page: &str) -> Vec<String> {
    let text = prose(page).collect::<Vec<_>>().join("\n");
    // What is between backticks is code, and may look like a link.
    let text: String = text.split('`').step_by(2).collect();
    let links = text.split("](").skip(1);
    links
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// What GitHub makes of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ => letter.is_alphanumeric().then_some(letter),
            });
            kept.collect()
        })
        .collect()
}

/// The file that a link leads to, without `.` and `..`.
fn resolve(page: &Path, target: &str) -> PathBuf {
    if target.is_empty() {
        return page.to_owned();
    }
    let mut path = PathBuf::new();
    for part in page.parent().unwrap().join(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

/// What is wrong with a page's links.
fn dead_links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let is_dead = |link: &String| {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let file = resolve(page, file);
        if anchor.is_empty() {
            return !file.exists();
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        !anchors(&text).contains(anchor)
    };
    let links = targets(&text).into_iter();
    let links = links.filter(|link| !link.contains("://"));
    let dead = links.filter(is_dead);
    dead.map(|link| format!("{}: {link}", page.display()))
        .collect()
}

#[test]
fn every_link_leads_to_a_file_or_a_heading() {
    let pages = pages(&checkout());
    let dead: Vec<_> = pages.iter().flat_map(|page| dead_links(page)).collect();
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_page_is_reached_from_the_readme() {
    let checkout = checkout();
    let mut reached = BTreeSet::new();
    let mut next = vec![checkout.join("README.md")];
    while let Some(page) = next.pop() {
        let is_page = page.extension().is_some_and(|end| end == "md");
        if is_page && reached.insert(page.clone()) {
            let text = fs::read_to_string(&page).unwrap();
            let links = targets(&text).into_iter();
            next.extend(links.map(|link| resolve(&page, link.split('#').next().unwrap())));
        }
    }
    let pages = pages(&checkout).into_iter();
    let missed: Vec<_> = pages.filter(|page| !reached.contains(page)).collect();
    assert!(missed.is_empty(), "not reached: {missed:?}");
}

#[test]
fn a_dead_link_is_found() {
    let text = "See [a](#there), `[b](code)`, ![c](gone.svg \"t\").\n# There\n```\n[d](block)\n```";
    assert_eq!(targets(text), ["#there", "gone.svg \"t\""]);
    assert_eq!(anchors(text), BTreeSet::from(["there".to_owned()]));
    let page = checkout().join("README.md");
    assert_eq!(
        resolve(&page, "docs/../CHANGELOG.md"),
        checkout().join("CHANGELOG.md")
    );
}

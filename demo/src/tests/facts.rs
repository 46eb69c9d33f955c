//! What is counted, and how it is shown.

use std::path::Path;

use expect_test::expect;

use crate::event::Event;
use crate::report;
use crate::rust::{self, Rust};
use crate::source::{self, Content, Source, Text};
use crate::summary::{Scope, Summary};
use crate::table::{Table, count, number, shown};
use crate::tree::{self, Tree};

/// Nine lines, two of them blank, and something of everything that is counted.
const RUST: &str = r#"#!/usr/bin/env run
// TODO: todo TODOS, FIXME

fn outer(x: Option<u8>) -> u8 { // FIXME
    fn inner() {}
    assert_eq!(x.unwrap(), "x.unwrap() and unsafe".len() as u8); // x.unwrap()

    unsafe { x.unwrap_unchecked() } // unsafe
}
"#;

#[track_caller]
fn rust_of(text: &str) -> (Vec<(String, usize, usize)>, usize, usize) {
    let Rust::Parsed {
        functions,
        longest,
        unsafes,
        unwraps,
    } = rust::audit(text)
    else {
        panic!("doesn't parse: {text}");
    };
    assert_eq!(functions, longest.len());
    let longest = longest.into_iter();
    let longest = longest.map(|function| (function.name, function.line, function.lines));
    (longest.collect(), unsafes, unwraps)
}

fn text_of(path: &str, text: &str) -> (usize, usize, usize, usize) {
    let Text {
        lines,
        blank,
        todo,
        fixme,
        ..
    } = source::count(path, text);
    (lines, blank, todo, fixme)
}

#[test]
fn functions_are_found_with_their_lines() {
    let (functions, ..) = rust_of(RUST);
    assert_eq!(
        functions,
        [("outer".to_owned(), 4, 6), ("inner".to_owned(), 5, 1)]
    );
}

#[test]
fn methods_count_and_signatures_without_a_body_dont() {
    let (functions, ..) = rust_of(
        "trait T {\n    fn a();\n    /// Doc.\n    #[inline]\n    fn b() {\n    }\n}\nimpl T for u8 {\n    fn a() {}\n}\n",
    );
    assert_eq!(functions, [("b".to_owned(), 5, 2), ("a".to_owned(), 9, 1)]);
}

#[test]
fn unsafe_and_unwrap_count_in_macros_but_not_in_comments_and_strings() {
    let (_, unsafes, unwraps) = rust_of(RUST);
    assert_eq!((unsafes, unwraps), (1, 1));
}

#[test]
fn rust_that_doesnt_parse_is_named_with_its_line() {
    let check = |text: &str, expected| assert_eq!(rust::audit(text), Rust::Unparsed(expected));
    check(
        "\nfn f( {}",
        "line 2: cannot parse string into token stream".to_owned(),
    );
    check(
        "fn a() {}\nfn",
        "line 1: unexpected end of input, expected identifier".to_owned(),
    );
}

#[test]
fn rust_that_nests_too_deep_is_refused_before_the_stack_ends() {
    let deep = format!("fn f() {{ {} }}", "!".repeat(10_000));
    let nested = format!("fn f() {{ {}{} }}", "(".repeat(10_000), ")".repeat(10_000));
    for text in [deep, nested] {
        let expected = "line 1: more than 5000 tokens in one expression";
        assert_eq!(rust::audit(&text), Rust::Unparsed(expected.to_owned()));
    }
}

#[test]
fn lines_and_marked_comments_are_counted() {
    assert_eq!(text_of("a.rs", RUST), (9, 2, 1, 2));
    assert_eq!(
        text_of("a.py", "x = 1 # TODO\nTODO = 'https://TODO'\n"),
        (2, 0, 1, 0)
    );
    assert_eq!(
        text_of("a.c", "/*\n * FIXME: b * TODO\n */\nx = a * TODO;"),
        (4, 0, 1, 1)
    );
    assert_eq!(text_of("a.json", "\"// TODO\"\n\n"), (2, 1, 0, 0));
    assert_eq!(text_of("empty", ""), (0, 0, 0, 0));
}

#[test]
fn a_file_that_isnt_text_or_isnt_there_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("binary.rs"), b"fn\0").unwrap();
    let binary = source::audit(folder.path(), "binary.rs");
    assert_eq!((binary.bytes, binary.content), (3, Content::Binary));
    let missing = source::audit(folder.path(), "missing");
    assert!(matches!(missing.content, Content::Unread(why) if why.contains("No such file")));
    let other = source::audit(folder.path(), ".");
    assert_eq!(
        other.content,
        Content::Unread("no longer a regular file".to_owned())
    );
}

#[test]
fn the_walk_keeps_to_gitignore_and_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
    write(".gitignore", "ignored\n");
    for path in ["b", "a", "ignored"] {
        write(path, "");
    }
    std::os::unix::fs::symlink(".", folder.path().join("loop")).unwrap();
    let tree = tree::walk(folder.path());
    assert_eq!(tree.files, [".gitignore", "a", "b"]);
    assert_eq!((tree.passed_over.len(), tree.links), (0, 1));
}

#[test]
fn tests_are_known_by_their_paths() {
    for path in [
        "tests/it.rs",
        "src/tests.rs",
        "a/test_b.py",
        "b_test.go",
        "c.spec.ts",
    ] {
        assert!(tree::is_test(path), "{path}");
    }
    for path in ["src/main.rs", "contest/a.rs", "src/testing_ground.rs"] {
        assert!(!tree::is_test(path), "{path}");
    }
}

#[test]
fn a_folder_that_cant_be_audited_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = |path: &Path| format!("{:#}", tree::folder(path).unwrap_err());
    assert!(error(&file).ends_with("is a file; name the folder to audit"));
    assert!(error(&file.join("x")).contains("can't be audited: "));
}

#[test]
fn a_report_is_read_at_a_glance() {
    let sources = [
        ("src/a.rs", RUST),
        ("tests/b.rs", "fn b("),
        ("notes.md", "Hello\n"),
    ];
    let sources = sources.map(|(path, text)| Source {
        path: path.to_owned(),
        bytes: text.len() as u64,
        content: Content::Text(source::count(path, text)),
    });
    let tree = Tree {
        passed_over: vec!["pipe: no regular file".to_owned()],
        links: 1,
        ..Tree::default()
    };
    let sum = |scope| Summary::new("/src\n".to_owned(), &tree, sources.to_vec(), scope);
    let (all, some) = (sum(Scope::Everything), sum(Scope::WithoutTests));
    expect![[r#"
        Audit of /src\n (everything)

          Language  Files  Lines  Blank  Bytes  TODO  FIXME
          Rust          2     10      2    239     1      2
          Markdown      1      1      0      6     0      0
          All text      3     11      2    245     1      2
          TODO and FIXME: as words of their own, behind a comment sign on their line

          Lines  Longest Rust functions  Where
              6  outer                   src/a.rs:4
              1  inner                   src/a.rs:5

          Bytes  Largest files
            234  src/a.rs
              6  notes.md
              5  tests/b.rs

          Rust: 2 functions, `unsafe` 1 time, `.unwrap()` 1 time (in macros too; not in comments and strings)
          Rust that doesn't parse: 1 file
            tests/b.rs: line 1: cannot parse string into token stream
          not audited: 1 file
            pipe: no regular file
          1 symbolic link not followed
    "#]].assert_eq(&report::text(&all));
    let comparison = report::comparison(&all, &some);
    expect![[r#"
        Comparison
                                      everything  without tests  difference
          files                                3              2          -1
          lines of text                       11             10          -1
          Rust functions                       2              2           0
          `unsafe`                             1              1           0
          `.unwrap()`                          1              1           0
          TODO                                 1              1           0
          FIXME                                2              2           0
          longest function, in lines           6              6           0
    "#]]
    .assert_eq(&format!("Comparison\n{comparison}"));
}

#[test]
fn tables_align_text_left_and_numbers_right() {
    let mut table = Table::new(&["Name", "Lines"]);
    table.row(["a".to_owned(), number(1_234_567)]);
    table.row(["long".to_owned(), number(-12)]);
    expect![[r#"
        Table
          Name      Lines
          a     1,234,567
          long        -12
    "#]]
    .assert_eq(&format!("Table\n{table}"));
    assert_eq!(count(1, "file"), "1 file");
    assert_eq!(count(1000, "file"), "1,000 files");
    assert_eq!(shown("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
}

#[test]
fn events_come_back_from_their_lines() {
    let events = [
        "step audit 20 8",
        "started audit-00003",
        "recorded audit-00003",
        "checkpoint 1 audit",
        "interrupted \"publish?\\n\"",
        "finished",
    ];
    for line in events {
        assert_eq!(line.parse::<Event>().unwrap().to_string(), line);
    }
    for line in ["", "step audit", "started", "step audit x y"] {
        assert!(line.parse::<Event>().is_err(), "{line}");
    }
}

#[test]
fn a_folder_without_files_is_not_audited() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    let root = tree::folder(folder.path()).unwrap();
    let error = tree::count(&root).unwrap_err().to_string();
    let why = "it holds no files, or .gitignore leaves none";
    assert!(
        error.starts_with("nothing to audit in ") && error.ends_with(why),
        "{error}"
    );
    std::fs::write(folder.path().join("a.rs"), "").unwrap();
    assert_eq!(tree::count(&root).unwrap(), 1);
}

//! The pictures of the documents, of the thread that `cargo xtask demo` leaves.

use std::path::PathBuf;

use inspector::page::Options;
use rig::{TestDb, package_folder, url};
use tokio::process::Command;

use crate::chromium::{Chromium, DESK, Window};
use crate::served::Served;

/// The demo's program, which `cargo xtask test --browser` builds first.
fn demo() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let demo = folder.join("audit");
    assert!(
        demo.exists(),
        "the demo isn't built: cargo build --workspace --bin audit --test browser"
    );
    demo
}

/// Runs the demo on a few files, in the schema of a test.
async fn run_demo(db: &TestDb) {
    let sources = package_folder().join("../../crates/settings");
    let demo = Command::new(demo())
        .args(["demo", "--tasks", "8", "--dir"])
        .arg(sources)
        .envs([
            ("DATABASE_URL", url()),
            ("DB_SCHEMA", db.schema().to_owned()),
        ])
        .output();
    let demo = demo.await.unwrap();
    assert!(
        demo.status.success(),
        "{}",
        String::from_utf8_lossy(&demo.stdout)
    );
}

#[tokio::test]
async fn the_demos_thread_is_walked_through_and_pictured() {
    let db = TestDb::new().await;
    run_demo(&db).await;
    let served = Served::on(&db, Options::new()).await;
    for (name, dark) in [("page", false), ("page-dark", true)] {
        let browser = Chromium::start(Window { dark, ..DESK }).await;
        browser.open(&served.url("threads")).await;
        browser.click("tbody a").await;
        browser.until_text("h1", "report").await;
        // The checkpoint of the second branch on which its question was asked and answered.
        let asked = "Array.from(document.querySelectorAll('.row > a')).find((row) => row.querySelector('b').textContent === 'merge').click()";
        browser.eval(asked).await;
        browser.until_text("h1", "merge").await;
        browser.until_text("#detail", "Pending writes").await;
        browser.picture(name).await;
    }
}

//! Threads of ten thousand checkpoints, states of 20 MB and chats of 5,000 messages stay quick.

use checkpointer::serde_json::json;
use inspector::page::Options;
use rig::Story;

use crate::chromium::{Chromium, DESK};
use crate::served::Served;

/// How many bytes a page may have, and how many elements, however large the thread is.
const BYTES: f64 = 120_000.0;
const ELEMENTS: u64 = 2_500;

#[tokio::test]
async fn ten_thousand_checkpoints_are_there_at_once_and_the_rest_on_demand() {
    let served = Served::new(Options::new()).await;
    Story::new(&served.checkpointer, "long").long(10_000).await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=long")).await;
    browser
        .until("document.querySelectorAll('.row').length === 100")
        .await;
    let loaded = Loaded::quickly(&browser).await;
    let opened = opened(&browser, ".row:nth-child(50) > a").await;
    loaded.print("10,000 checkpoints", opened);
    // The end of the list that is loaded, and one further.
    browser.type_into("#slider", "\u{e011}").await;
    browser.type_into("body", "j").await;
    browser
        .until("document.querySelectorAll('.row').length >= 200")
        .await;
    browser.until_text("h1", "count step").await;
}

#[tokio::test]
async fn a_state_of_twenty_megabytes_opens_part_by_part() {
    let served = Served::new(Options::new()).await;
    let documents: Vec<_> = (0..20_000)
        .map(|n| json!({ "n": n, "text": format!("{n} ").repeat(190) }))
        .collect();
    let story = Story::new(&served.checkpointer, "heavy");
    let first = story
        .begin(vec![("documents", json!(documents)), ("n", json!(1))])
        .await;
    story.step(&first, "more", vec![("n", json!(2))]).await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=heavy")).await;
    browser.until_text(".heavy", "documents").await;
    browser.until_text(".changes", "n").await;
    let loaded = Loaded::quickly(&browser).await;
    opened(&browser, ".row:nth-child(2) > a").await;
    let opened = opened(&browser, ".row:nth-child(1) > a").await;
    loaded.print("a state of 20 MB", opened);
    let opened = "Array.from(document.querySelectorAll('#detail details')).find((one) => one.textContent.includes('20000 items')).open = true";
    browser.eval(opened).await;
    browser
        .until("document.querySelectorAll('.inside > .tree > li > details').length === 100")
        .await;
}

#[tokio::test]
async fn a_chat_of_five_thousand_messages_is_read_from_its_end() {
    let served = Served::new(Options::new()).await;
    let messages: Vec<_> = (1..=5_000)
        .map(|n| json!({ "type": if n % 2 == 1 { "human" } else { "ai" }, "content": format!("message {n}. ").repeat(20) }))
        .collect();
    let story = Story::new(&served.checkpointer, "chat");
    let first = story.begin(vec![("messages", json!(messages))]).await;
    story.step(&first, "next", vec![("n", json!(1))]).await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=chat")).await;
    browser
        .until_text(".message:last-child", "message 5000.")
        .await;
    let loaded = Loaded::quickly(&browser).await;
    let opened = opened(&browser, ".row:nth-child(2) > a").await;
    loaded.print("a chat of 5,000 messages", opened);
    browser.click(".conversation .more button").await;
    browser
        .until("document.querySelectorAll('.message').length === 40")
        .await;
    browser.until_text(".message", "message 4961.").await;
}

/// Opens a checkpoint of the list, and says after how many milliseconds it was shown.
async fn opened(browser: &Chromium, row: &str) -> f64 {
    let open = format!(
        "(() => {{
            window.opened = undefined;
            const begun = performance.now();
            document.addEventListener('htmx:afterSettle', (event) => {{
                if (event.target.id === 'detail') window.opened = performance.now() - begun;
            }}, {{ once: true }});
            document.querySelector('{row}').click();
        }})()"
    );
    browser.eval(&open).await;
    browser.until("window.opened !== undefined").await;
    browser.eval("window.opened").await.as_f64().unwrap()
}

/// After how many milliseconds a page had its first byte, was complete, and was shown.
struct Loaded {
    first_byte: f64,
    complete: f64,
    shown: f64,
}

impl Loaded {
    /// Checks that the page is small.
    async fn quickly(browser: &Chromium) -> Self {
        let timing = async |value: &str| {
            let value = format!("performance.getEntriesByType('navigation')[0].{value}");
            browser.eval(&value).await.as_f64().unwrap()
        };
        let bytes = timing("encodedBodySize").await;
        assert!(bytes < BYTES, "{bytes} bytes");
        let elements = browser.eval("document.querySelectorAll('*').length").await;
        assert!(elements.as_u64().unwrap() < ELEMENTS, "{elements} elements");
        Self {
            first_byte: timing("responseStart").await,
            complete: timing("responseEnd").await,
            shown: timing("domContentLoadedEventEnd").await,
        }
    }

    /// Prints a line of the table in docs/page.md.
    #[expect(clippy::print_stdout, reason = "`--nocapture` shows it")]
    fn print(&self, what: &str, opened: f64) {
        let Self {
            first_byte,
            complete,
            shown,
        } = self;
        println!(
            "| {what} | {first_byte:.0} ms | {complete:.0} ms | {shown:.0} ms | {opened:.0} ms |"
        );
    }
}

//! Walking through a thread.

use checkpointer::serde_json::json;
use checkpointer::{Checkpointer as _, DeleteThread};
use inspector::page::Options;
use rig::{Story, TcpProxy};

use crate::chromium::{Chromium, DESK};
use crate::served::Served;

#[tokio::test]
async fn keys_slider_and_clicks_walk_through_the_checkpoints() {
    let served = Served::new(Options::new()).await;
    let support = Story::new(&served.checkpointer, "support-4711")
        .support()
        .await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("threads")).await;
    browser.click("tbody a").await;
    browser.until_text("h1", "draft step 3").await;

    browser.type_into("body", "j").await;
    browser.until_text("h1", "tools step 2").await;
    browser
        .until("document.querySelector('#slider').value === '7'")
        .await;
    browser.type_into("body", "k").await;
    browser.until_text("h1", "draft step 3").await;
    browser.type_into("#slider", "\u{e011}").await; // Home: the oldest.
    browser.until_text("h1", "input step -1").await;
    assert!(
        browser
            .url()
            .await
            .contains(support.input.address.checkpoint_id.as_str())
    );
    browser.click(".row:nth-child(5) a").await;
    browser.until_text("h1", "read step 1").await;
    browser
        .until_text("#detail", "The carrier has lost it.")
        .await;

    // The link can be sent.
    let link = browser.url().await;
    browser.open(&link).await;
    browser.until_text("h1", "read step 1").await;
    let chosen = "document.querySelectorAll('.row > a[aria-current]').length === 1 && \
                  document.querySelector('.row:nth-child(5) > a').hasAttribute('aria-current')";
    browser.until(chosen).await;
}

#[tokio::test]
async fn values_open_and_two_checkpoints_stand_side_by_side() {
    let served = Served::new(Options::new()).await;
    let story = Story::new(&served.checkpointer, "support-4711");
    story.support().await;
    let items: Vec<_> = (0..250)
        .map(|n| json!({ "n": n, "text": "x".repeat(50) }))
        .collect();
    Story::new(&served.checkpointer, "items")
        .begin(vec![("items", json!(items))])
        .await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=items")).await;
    browser
        .click("section:nth-of-type(2) .tree > li > details > summary")
        .await;
    browser
        .until("document.querySelectorAll('.inside .tree > li > details').length === 100")
        .await;
    browser
        .eval("document.querySelector('.inside .more button').click()")
        .await;
    browser
        .until("document.querySelectorAll('.inside > .tree > li > details').length === 200")
        .await;

    browser.open(&served.url("thread?id=support-4711")).await;
    browser.click(".ways a:nth-of-type(3)").await;
    browser
        .until_text("main.compare", "we have sent it again")
        .await;
    browser.picture("side-by-side").await;
}

#[tokio::test]
async fn checkpoints_are_found_and_walked_through() {
    let served = Served::new(Options::new()).await;
    Story::new(&served.checkpointer, "support-4711")
        .support()
        .await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=support-4711")).await;
    browser.type_into("body", "/").await;
    browser
        .until("document.activeElement.name === 'text'")
        .await;
    browser
        .type_into("input[name=text]", "carrier\u{e007}")
        .await;
    browser
        .until("document.querySelectorAll('.row').length === 2")
        .await;
    browser.until_text("h1", "read step 1").await;
    browser.picture("found").await;
    browser.type_into("body", "j").await;
    browser.until_text("h1", "search step 0").await;
    assert!(browser.url().await.contains("text=carrier"));
    browser.click(".about > summary").await;
    browser.click(".about details > summary").await;
    browser.until_text(".sizes", "messages").await;
    browser.picture("about").await;
    browser.click(".sought a").await;
    browser
        .until("document.querySelectorAll('.row').length === 9")
        .await;
    browser.until_text("h1", "read step 1").await;
}

#[tokio::test]
async fn what_follows_can_be_asked_for_again_after_the_database_was_down() {
    let proxy = TcpProxy::new();
    let served = Served::through(&proxy).await;
    let items: Vec<_> = (0..250)
        .map(|n| json!({ "text": format!("{n} ").repeat(50) }))
        .collect();
    Story::new(&served.checkpointer, "items")
        .begin(vec![("items", json!(items))])
        .await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=items")).await;
    browser
        .click("section:nth-of-type(2) .tree > li > details > summary")
        .await;
    let shown = "document.querySelectorAll('.inside > .tree > li > details').length";
    browser.until(&format!("{shown} === 100")).await;
    let note = "document.addEventListener('htmx:afterRequest', (event) => { window.answered = event.detail.xhr.status; })";
    browser.eval(note).await;

    proxy.refuse().await;
    let more = "document.querySelector('.inside .more button')";
    browser.eval(&format!("{more}.click()")).await;
    browser.until("window.answered === 503").await;
    assert_eq!(browser.eval(&format!("{more} !== null")).await, true);
    assert_eq!(browser.eval(shown).await, 100);

    proxy.listen();
    browser
        .until(&format!("({more}.click(), {shown} >= 200)"))
        .await;
}

#[tokio::test]
async fn a_further_page_of_threads_stays_that_page_when_it_changes() {
    let served = Served::new(Options::new()).await;
    for n in 100..160 {
        Story::new(&served.checkpointer, &format!("job-{n}"))
            .begin(vec![])
            .await;
    }
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("threads")).await;
    browser.until_text("tbody", "job-159").await;
    browser.click(".more a").await;
    browser.until_text("tbody", "job-109").await;
    browser.until(TOLD).await;
    let delete = DeleteThread::new("job-104").unwrap();
    served.checkpointer.delete_thread(delete).await.unwrap();
    browser
        .until(
            "(() => {
                const shown = Array.from(document.querySelectorAll('tbody a'), (a) => a.textContent);
                return shown.join() === 'job-109,job-108,job-107,job-106,job-105,job-103,job-102,job-101,job-100';
            })()",
        )
        .await;
}

/// Whether the page is told of changes, and so doesn't ask by itself.
const TOLD: &str = "document.querySelector('#live').dataset.told === 'yes'";

#[tokio::test]
async fn what_is_put_meanwhile_appears_where_pages_are_told_of_it() {
    let served = Served::new(Options::new()).await;
    let browser = Chromium::start(DESK).await;
    what_is_put_meanwhile_appears(&served, &browser, async || browser.until(TOLD).await).await;
}

#[tokio::test]
async fn what_is_put_meanwhile_appears_where_pages_have_to_ask() {
    let served = Served::new(Options::new().viewers(0)).await;
    let browser = Chromium::start(DESK).await;
    let asks = async || assert_eq!(browser.eval(TOLD).await, false);
    what_is_put_meanwhile_appears(&served, &browser, asks).await;
}

async fn what_is_put_meanwhile_appears(served: &Served, browser: &Chromium, check: impl AsyncFn()) {
    let story = Story::new(&served.checkpointer, "live");
    let first = story.begin(vec![("n", json!(1))]).await;
    browser.open(&served.url("thread?id=live")).await;
    browser.until_text("h1", "input").await;
    check().await;
    let second = story.step(&first, "count", vec![("n", json!(2))]).await;
    browser.until_text(".row:first-child", "count").await;
    // The page shows the head until a person chooses another checkpoint.
    browser.until_text("h1", "count step 0").await;

    browser.click(".row:nth-child(2) a").await;
    browser.until_text("h1", "input").await;
    story.step(&second, "again", vec![("n", json!(3))]).await;
    browser.until_text(".row:first-child", "again").await;
    browser.until_text("h1", "input").await;
    browser
        .until("document.querySelector('.row:nth-child(3) > a').hasAttribute('aria-current')")
        .await;

    check().await;

    browser.open(&served.url("threads")).await;
    check().await;
    Story::new(&served.checkpointer, "another")
        .begin(vec![])
        .await;
    browser.until_text("tbody tr:first-child", "another").await;
}

#[tokio::test]
async fn a_page_says_that_its_database_is_down_and_goes_on_by_itself_when_it_is_back() {
    let proxy = TcpProxy::new();
    let served = Served::through(&proxy).await;
    let story = Story::new(&served.checkpointer, "live");
    let first = story.begin(vec![("n", json!(1))]).await;
    let second = story.step(&first, "count", vec![("n", json!(2))]).await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=live")).await;
    browser.until_text("h1", "count").await;
    browser.until(TOLD).await;

    proxy.refuse().await;
    browser.click(".row:nth-child(2) a").await;
    browser
        .until_text("#detail", "is down, can't be reached")
        .await;

    proxy.listen();
    story.step(&second, "again", vec![("n", json!(3))]).await;
    browser.until_text(".row:first-child", "again").await;
    browser.click(".row:first-child a").await;
    browser.until_text("h1", "again").await;
}

#[tokio::test]
async fn the_token_is_asked_for_once() {
    let token = inspector::page::Token::generate();
    let served = Served::new(Options::new().token(token.clone())).await;
    Story::new(&served.checkpointer, "support-4711")
        .support()
        .await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=support-4711")).await;
    browser.until_text("h1", "Token").await;
    browser.type_into("input[name=token]", "wrong").await;
    browser.click("button").await;
    browser.until_text("main", "This isn't the token.").await;
    browser.type_into("input[name=token]", token.as_str()).await;
    browser.click("button").await;
    browser.until_text("h1", "draft step 3").await;
    assert!(browser.url().await.ends_with("thread?id=support-4711"));
    // What the page loads by itself is let in as well.
    browser.type_into("body", "j").await;
    browser.until_text("h1", "tools step 2").await;
}

//! Forks, answers and metadata.

use checkpointer::channels::RESUME;
use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, GetTuple};
use inspector::page::Options;
use rig::Story;

use crate::chromium::{Chromium, DESK};
use crate::served::Served;

#[tokio::test]
async fn a_person_answers_forks_pins_and_labels() {
    let served = Served::new(Options::new().allow_writes()).await;
    let support = Story::new(&served.checkpointer, "support-4711")
        .support()
        .await;
    let head = async || {
        let head = served
            .checkpointer
            .get_tuple(GetTuple::head("support-4711").unwrap());
        head.await.unwrap().unwrap()
    };
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("thread?id=support-4711")).await;
    browser
        .type_into("input[name=answer]", "true\u{e007}")
        .await;
    browser.until_text("#detail", "Asked, and answered").await;
    let writes = head().await.pending_writes;
    let answer = writes.iter().find(|write| write.channel == RESUME).unwrap();
    assert_eq!(*answer.value, json!([true]));

    browser.click(".row:nth-child(8) a").await;
    browser.until_text("h1", "model step 0").await;
    browser.click(".fork summary").await;
    browser
        .type_into("textarea[name=changes]", "{\"tone\": \"formal\"}")
        .await;
    browser.click(".fork button").await;
    browser.until_text("h1", "fork step 1").await;
    let forked = head().await;
    assert_eq!(forked.checkpoint.channel_values["tone"], "formal");
    assert_eq!(
        forked.parent_address.unwrap().checkpoint_id,
        support.draft.address.checkpoint_id
    );

    browser.click(".pin button").await;
    browser.until_text(".row:first-child", "pinned").await;
    browser.until_text(".pin", "Unpin").await;
    assert!(head().await.pinned);

    browser.click(".about > summary").await;
    browser.until_text(".members", "customer").await;
    browser
        .type_into(".members tr:last-child [name=key]", "done")
        .await;
    browser
        .type_into(".members tr:last-child [name=value]", "true\u{e007}")
        .await;
    browser.until_text(".about > summary", "done true").await;
    browser
        .open(&served.url("threads?metadata=done%3Dtrue"))
        .await;
    browser.until_text("tbody", "support-4711").await;
}

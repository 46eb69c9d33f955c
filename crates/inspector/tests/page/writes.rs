//! Writing has to be allowed, and only the page's own forms write.

use axum::http::StatusCode;
use checkpointer::channels::RESUME;
use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, GetTuple, ListThreads, MemoryCheckpointer};
use futures_util::TryStreamExt as _;
use inspector::page::Options;
use rig::{Story, Support};

use crate::browser::Browser;

async fn page(options: Options) -> (MemoryCheckpointer, Support, Browser) {
    let memory = MemoryCheckpointer::new();
    let support = Story::new(&memory, "support-4711").support().await;
    let browser = Browser::new(memory.clone(), options);
    (memory, support, browser)
}

/// The key that the page's forms carry.
async fn key(browser: &Browser) -> String {
    let body = browser.get("thread?id=support-4711").await.body;
    let (_, rest) = body.split_once("name=\"form_key\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn fork(support: &Support, key: &str) -> String {
    let (from, head) = (
        &support.draft.address.checkpoint_id,
        &support.head.address.checkpoint_id,
    );
    format!(
        "form_key={key}&id=support-4711&ns=&at={from}&head={head}&changes=%7B%22tone%22%3A%22formal%22%7D"
    )
}

#[tokio::test]
async fn a_page_that_only_reads_has_no_forms_and_takes_none() {
    let (_, support, browser) = page(Options::new()).await;
    let body = browser.get("thread?id=support-4711").await.body;
    assert!(!body.contains("<form"));
    for link in ["fork", "answer", "metadata"] {
        let answer = browser.post(link, &fork(&support, "x")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{link}");
    }
}

#[tokio::test]
async fn a_form_without_the_pages_key_changes_nothing() {
    let (memory, support, browser) = page(Options::new().allow_writes()).await;
    let other = page(Options::new().allow_writes()).await.2;
    for key in ["", "x", &key(&other).await] {
        let answer = browser.post("fork", &fork(&support, key)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let form = format!("form_key={key}&id=support-4711&metadata=%7B%7D");
        assert_eq!(
            browser.post("metadata", &form).await.status,
            StatusCode::FORBIDDEN
        );
        let form = format!("form_key={key}&id=support-4711&task=ask&answer=true");
        assert_eq!(
            browser.post("answer", &form).await.status,
            StatusCode::FORBIDDEN
        );
    }
    let head = memory
        .get_tuple(GetTuple::head("support-4711").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        head.address.checkpoint_id,
        support.head.address.checkpoint_id
    );
    assert!(
        !head
            .pending_writes
            .iter()
            .any(|write| write.channel == RESUME)
    );
}

#[tokio::test]
async fn a_fork_follows_the_chosen_checkpoint_and_becomes_the_head() {
    let (memory, support, browser) = page(Options::new().allow_writes()).await;
    let answer = browser
        .post("fork", &fork(&support, &key(&browser).await))
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let head = memory
        .get_tuple(GetTuple::head("support-4711").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert!(
        answer
            .location()
            .contains(head.address.checkpoint_id.as_str())
    );
    let parent = head
        .parent_address
        .as_ref()
        .map(|parent| &parent.checkpoint_id);
    assert_eq!(parent, Some(&support.draft.address.checkpoint_id));
    assert_eq!(head.checkpoint.channel_values["tone"], "formal");
    assert_eq!(
        head.checkpoint.channel_values["messages"],
        support.draft.checkpoint.channel_values["messages"]
    );
    assert_eq!(
        (head.metadata.source(), head.metadata.step()),
        (Some("fork"), Some(1))
    );
}

#[tokio::test]
async fn a_fork_of_a_thread_that_has_gone_on_is_refused() {
    let (_, support, browser) = page(Options::new().allow_writes()).await;
    let form = fork(&support, &key(&browser).await);
    assert_eq!(
        browser.post("fork", &form).await.status,
        StatusCode::SEE_OTHER
    );
    let again = browser.post("fork", &form).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("it has moved since it was read"));
}

#[tokio::test]
async fn an_answer_is_added_to_those_that_the_task_has() {
    let (memory, _, browser) = page(Options::new().allow_writes()).await;
    let key = key(&browser).await;
    for (answer, expected) in [
        ("true", json!([true])),
        ("as+you+like", json!([true, "as you like"])),
    ] {
        let form = format!("form_key={key}&id=support-4711&task=ask&answer={answer}");
        assert_eq!(
            browser.post("answer", &form).await.status,
            StatusCode::SEE_OTHER
        );
        let head = memory
            .get_tuple(GetTuple::head("support-4711").unwrap())
            .await
            .unwrap()
            .unwrap();
        let given = head
            .pending_writes
            .iter()
            .find(|write| write.channel == RESUME)
            .unwrap();
        assert_eq!((given.task_id.as_str(), &given.value), ("ask", &expected));
    }
}

#[tokio::test]
async fn the_metadata_of_a_thread_is_replaced() {
    let (memory, _, browser) = page(Options::new().allow_writes()).await;
    let key = key(&browser).await;
    let form = format!("form_key={key}&id=support-4711&metadata=%7B%22tier%22%3A+1%7D");
    assert_eq!(
        browser.post("metadata", &form).await.status,
        StatusCode::SEE_OTHER
    );
    let threads: Vec<_> = memory
        .threads(ListThreads::all())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(json!(threads[0].metadata), json!({ "tier": 1 }));
    let form = format!("form_key={key}&id=support-4711&metadata=nonsense");
    assert_eq!(
        browser.post("metadata", &form).await.status,
        StatusCode::BAD_REQUEST
    );
}

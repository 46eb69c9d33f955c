//! What the pages show.

use axum::http::StatusCode;
use checkpointer::MemoryCheckpointer;
use checkpointer::serde_json::{Map, json};
use inspector::page::Options;
use rig::{Story, Support};

use crate::browser::Browser;

async fn page() -> (Support, Browser) {
    let memory = MemoryCheckpointer::new();
    let support = Story::new(&memory, "support-4711").support().await;
    (support, Browser::new(memory, Options::new()))
}

fn assert_has(body: &str, parts: &[&str]) {
    for part in parts {
        assert!(body.contains(part), "no {part:?} in:\n{body}");
    }
}

#[tokio::test]
async fn the_list_of_threads_is_searched_and_filtered() {
    let memory = MemoryCheckpointer::new();
    for n in 0..120 {
        let story = Story::new(&memory, &format!("Job-{n}"));
        story
            .begin(vec![(
                "waits_for",
                json!(if n == 7 { "approval" } else { "nothing" }),
            )])
            .await;
        story
            .set_metadata(json!({ "tenant": n % 3, "name": "acme" }))
            .await;
    }
    let browser = Browser::new(memory, Options::new());
    let ids = |body: &str| body.matches("scope=\"row\"").count();

    let first = browser.get("threads").await;
    assert_eq!(ids(&first.body), 50);
    let next = first
        .links()
        .into_iter()
        .find(|link| link.contains("after="))
        .unwrap();
    let second = browser.get(&next).await;
    assert_has(&second.body, &["Job-69<", "Job-20<"]);
    // Each page asks whether it has changed itself, and not the first one.
    for link in [&*next, "threads?q=job-11", "threads?order=oldest"] {
        let page = browser.get(link).await;
        let poll = format!(
            "{}&seen={}",
            page.value("data-poll"),
            page.value("data-seen")
        );
        let asked = browser.get(&poll).await;
        assert_eq!(asked.status, StatusCode::NO_CONTENT, "{poll}");
    }
    let oldest = browser.get("threads?order=oldest").await;
    assert_has(&oldest.body, &["Job-0<", "Job-49<"]);
    assert_eq!(ids(&browser.get("threads?q=job-11").await.body), 11);
    assert_eq!(
        ids(&browser
            .get("threads?metadata=tenant%3D2&q=Job-1")
            .await
            .body),
        10
    );
    assert_eq!(
        ids(&browser.get("threads?state=waits_for%3Dapproval").await.body),
        1
    );
    let wrong = browser.get("threads?metadata=nonsense").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_has(
        &browser.get("threads?q=nothing").await.body,
        &["None of the 120 threads"],
    );
}

#[tokio::test]
async fn a_thread_shows_its_checkpoints_with_forks_and_subgraphs() {
    let (support, browser) = page().await;
    let body = browser.get("thread?id=support-4711").await.body;
    assert_eq!(body.matches("<li class=\"row\">").count(), 9);
    assert_has(
        &body,
        &[
            "<b>model</b> <span class=\"step\">step 0</span>",
            "research:task-1",
            "<span class=\"tag head\">head</span>",
        ],
    );
    // The subgraph's line ends at the checkpoint that it was called on, as does the first branch.
    assert_eq!(body.matches("class=\"c2 dotted\"").count(), 2);
    assert_eq!(body.matches("C21 22 21 22 7 22").count(), 1);
    let current = body
        .split("<li class=\"row\">")
        .filter(|row| row.contains("aria-current"));
    let current: Vec<_> = current.collect();
    assert_eq!(current.len(), 1);
    assert!(current[0].contains(support.head.address.checkpoint_id.as_str()));
}

#[tokio::test]
async fn a_checkpoint_shows_all_that_belongs_to_it() {
    let (support, browser) = page().await;
    let body = browser.get("checkpoint?id=support-4711").await.body;
    assert_has(
        &body,
        &[
            "Refund 59.90 EUR for order 4711?",
            "Waits for an answer",
            "<del>way</del>",
            "<ins>was</ins>",
            "Where is my order 4711?",
            "find_order",
            "asked at the desk",
            "<span class=\"tag waits\">waits</span>",
            "<span class=\"tag done\">done</span>",
            "customer",
            "Versions of the channels",
            "items, number, status, total",
        ],
    );
    let at = support.found.address.checkpoint_id.as_str();
    let body = browser
        .get(&format!(
            "checkpoint?id=support-4711&ns=research%3Atask-1&at={at}"
        ))
        .await
        .body;
    assert_has(
        &body,
        &[
            "The carrier has lost it.",
            "Where it was called",
            support.draft.address.checkpoint_id.as_str(),
        ],
    );
    let at = support.input.address.checkpoint_id.as_str();
    let body = browser
        .get(&format!("checkpoint?id=support-4711&at={at}"))
        .await
        .body;
    assert_has(&body, &["It has no parent."]);
}

#[tokio::test]
async fn an_error_stands_before_the_rest() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "failed");
    let head = story.begin(vec![("n", json!(1))]).await;
    let trace = "TimeoutError: no answer\n  at stock.py:7";
    story.write(&head, "stock", "__error__", json!(trace)).await;
    let structured = json!({ "code": 502 });
    story.write(&head, "mail", "__error__", structured).await;
    let browser = Browser::new(memory, Options::new());
    let body = browser.get("checkpoint?id=failed").await.body;
    let (before, _) = body.split_once("<h2>Changes").unwrap();
    assert_has(
        before,
        &[
            "Failed <code>stock</code>",
            trace,
            "Failed <code>mail</code>",
            "502",
        ],
    );
}

#[tokio::test]
async fn a_thread_says_what_it_takes() {
    let (_, browser) = page().await;
    let about = browser.get("about?id=support-4711").await;
    assert_has(&about.body, &["customer", "ann", "tier", "What it takes"]);
    let size = browser.get("size?id=support-4711").await;
    assert_has(
        &size.body,
        &[
            "as it is stored: 9 checkpoints, 2 pending writes, ",
            "<th scope=\"row\" class=\"key\">messages</th>",
        ],
    );
    for part in ["about", "size"] {
        let none = browser.get(&format!("{part}?id=none")).await;
        assert_eq!(none.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn threads_are_listed_by_size() {
    let memory = MemoryCheckpointer::new();
    for (thread_id, length) in [("small", 10), ("large", 90_000), ("middle", 2_000)] {
        let story = Story::new(&memory, thread_id);
        story.begin(vec![("text", json!("x".repeat(length)))]).await;
    }
    let browser = Browser::new(memory, Options::new());
    let body = browser.get("threads?order=size").await.body;
    assert_has(&body, &["3 threads were measured.", "90 kB"]);
    let place = |id: &str| body.find(&format!("{id}</a>")).unwrap();
    assert!(place("large") < place("middle") && place("middle") < place("small"));
    // It isn't measured again and again.
    assert_has(&body, &["data-poll=\"\""]);
}

/// The nodes of the rows that a page has.
fn nodes(body: &str) -> Vec<&str> {
    let rows = body.split("<span class=\"first\"><b>").skip(1);
    rows.map(|row| row.split("</b>").next().unwrap()).collect()
}

#[tokio::test]
async fn checkpoints_are_found_by_what_is_known_of_them() {
    let (support, browser) = page().await;
    for (sought, expected) in [
        ("node=tools", &["tools", "tools"][..]),
        ("node=tools&steps=2", &["tools"]),
        ("source=fork", &["fork"]),
        ("steps=1..2", &["tools", "fork", "tools", "read"]),
        ("changed=draft", &["draft", "tools", "tools"]),
        ("text=CARRIER", &["read", "search"]),
        ("text=research", &["read", "search", "input"]),
        ("node=none", &[]),
        ("pinned=yes", &[]),
    ] {
        let body = browser
            .get(&format!("thread?id=support-4711&{sought}"))
            .await
            .body;
        assert_eq!(nodes(&body), expected, "{sought}");
        let said = format!("{} of the 9 checkpoints", expected.len());
        assert_has(&body, &[&said, "Show all"]);
    }
    // The page shows the newest that was found, and its rows lead to the same list.
    let body = browser
        .get("thread?id=support-4711&text=carrier")
        .await
        .body;
    let found = support.found.address.checkpoint_id.as_str();
    assert_has(
        &body,
        &[
            "The carrier has lost it.",
            &format!("at={found}&#38;text=carrier"),
        ],
    );
    let wrong = browser.get("thread?id=support-4711&steps=many").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let none = browser.get("thread?id=none&node=tools").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn two_checkpoints_are_shown_side_by_side() {
    let (support, browser) = page().await;
    let [left, right] =
        [&support.first_branch, &support.head].map(|tuple| tuple.address.checkpoint_id.as_str());
    let body = browser
        .get(&format!("compare?id=support-4711&at={right}&with={left}"))
        .await
        .body;
    assert_has(
        &body,
        &[
            left,
            right,
            "<span class=\"key\">tone</span>",
            "<del>way</del>",
        ],
    );
    let same = browser
        .get(&format!("compare?id=support-4711&at={right}"))
        .await
        .body;
    assert_has(&same, &["No value differs."]);
}

#[tokio::test]
async fn large_values_are_opened_part_by_part() {
    let memory = MemoryCheckpointer::new();
    let items: Vec<_> = (0..1000)
        .map(|n| json!({ "n": n, "text": "x".repeat(40) }))
        .collect();
    let text = "é".repeat(120_000);
    let writes = vec![
        ("items", json!(items)),
        ("text", json!(text)),
        ("a/b~c", json!({ "d": ["x".repeat(700)] })),
    ];
    Story::new(&memory, "large").begin(writes).await;
    let browser = Browser::new(memory, Options::new());
    let body = browser.get("thread?id=large").await;
    assert!(body.body.len() < 20_000, "{}", body.body.len());
    assert_has(&body.body, &["Large:", "1000 items"]);

    let items = browser
        .get("value?id=large&path=/state/items&from=100")
        .await;
    assert_has(
        &items.body,
        &[
            "<span class=\"key\">100</span>",
            "<span class=\"key\">199</span>",
            "800 more",
        ],
    );
    let text = browser
        .get("value?id=large&path=/state/text&from=100000")
        .await
        .body;
    assert_eq!(text.matches('é').count(), 20_000);
    for link in body
        .links()
        .into_iter()
        .filter(|link| link.starts_with("value?"))
    {
        assert_eq!(browser.get(&link).await.status, StatusCode::OK, "{link}");
    }
    let end = u64::MAX.to_string();
    assert_eq!(
        browser
            .get(&format!("value?id=large&path=/state/items&from={end}"))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_long_conversation_is_shown_from_its_end() {
    let memory = MemoryCheckpointer::new();
    let messages: Vec<_> = (1..=5000)
        .map(|n| json!({ "role": "user", "content": format!("message {n}.") }))
        .collect();
    Story::new(&memory, "chat")
        .begin(vec![("messages", json!(messages))])
        .await;
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("thread?id=chat").await;
    assert_has(
        &page.body,
        &["message 5000.", "message 4981.", "4980 earlier"],
    );
    let earlier = page
        .links()
        .into_iter()
        .find(|link| link.starts_with("messages?"))
        .unwrap();
    let earlier = browser.get(&earlier).await.body;
    assert_has(
        &earlier,
        &["message 4980.", "message 4961.", "4960 earlier"],
    );
    assert!(!earlier.contains("message 4981."));
}

#[tokio::test]
async fn what_is_in_a_message_of_langchains_own_json_opens() {
    let memory = MemoryCheckpointer::new();
    let arguments = (0..50).map(|n| (format!("argument-{n}"), json!("x".repeat(20))));
    let fields = json!({
        "type": "ai",
        "content": "Now.",
        "usage_metadata": { "details": "y".repeat(700) },
        "tool_calls": [{ "name": "buy", "args": Map::from_iter(arguments) }],
    });
    let message = json!({ "lc": 1, "type": "constructor", "id": ["AIMessage"], "kwargs": fields });
    let long = json!({ "lc": 1, "kwargs": { "type": "human", "content": "z".repeat(5_000) } });
    Story::new(&memory, "chat")
        .begin(vec![("messages", json!([long, message]))])
        .await;
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("checkpoint?id=chat").await;
    let (_, conversation) = page.body.split_once("aria-label=\"Conversation\"").unwrap();
    let (conversation, _) = conversation.split_once("</section>").unwrap();
    assert_has(
        conversation,
        &["buy", "usage_metadata", "The whole message"],
    );
    let mut opened = String::new();
    for link in page.links() {
        if link.starts_with("value?") {
            let answer = browser.get(&link).await;
            assert_eq!(answer.status, StatusCode::OK, "{link}");
            opened += &answer.body;
        }
    }
    assert_has(&opened, &["argument-49", &"y".repeat(160)]);
}

#[tokio::test]
async fn ten_thousand_checkpoints_are_listed_page_by_page_with_their_lines() {
    let memory = MemoryCheckpointer::new();
    Story::new(&memory, "long").long(10_000).await;
    let browser = Browser::new(memory, Options::new());
    let mut answer = browser.get("history?id=long").await;
    let mut rows = 0;
    loop {
        rows += answer.body.matches("<li class=\"row\">").count();
        assert!(answer.body.len() < 200_000);
        // One line, which never starts again.
        assert!(!answer.body.contains("class=\"c1"));
        match answer
            .links()
            .into_iter()
            .find(|link| link.contains("before="))
        {
            Some(older) => answer = browser.get(&older).await,
            None => break,
        }
    }
    assert_eq!(rows, 10_000);

    let mut answer = browser
        .get("history?id=long&changed=n&steps=5000..5002")
        .await;
    let mut found = 0;
    loop {
        found += answer.body.matches("<li class=\"row\">").count();
        match answer
            .links()
            .into_iter()
            .find(|link| link.contains("before="))
        {
            Some(older) => answer = browser.get(&older).await,
            None => break,
        }
    }
    assert_eq!(found, 3);
}

#[tokio::test]
async fn a_list_that_has_not_changed_is_not_sent_again() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "live");
    let first = story.begin(vec![]).await;
    let browser = Browser::new(memory.clone(), Options::new());
    for page in ["threads?", "history?id=live&"] {
        let seen = browser
            .get(&format!("{page}seen=x"))
            .await
            .header("x-seen")
            .to_owned();
        let link = format!("{page}seen={seen}");
        assert_eq!(
            browser.get(&link).await.status,
            StatusCode::NO_CONTENT,
            "{page}"
        );
    }
    let seen = browser
        .get("history?id=live&seen=x")
        .await
        .header("x-seen")
        .to_owned();
    story.step(&first, "next", vec![]).await;
    let changed = browser.get(&format!("history?id=live&seen={seen}")).await;
    assert_has(&changed.body, &["<b>next</b>"]);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_a_page_and_in_a_part_of_one() {
    let (_, browser) = page().await;
    for link in [
        "thread?id=other",
        "thread?id=",
        "checkpoint?id=support-4711&at=x",
        "value?id=support-4711&path=/state/none",
        "value?id=support-4711&path=",
        "messages?id=support-4711&path=/state/order&before=1",
        "nothing",
    ] {
        let answer = browser.get(link).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{link}");
        assert_has(&answer.body, &["<!doctype html>", "role=\"alert\""]);
    }
    let part = browser
        .get_with("checkpoint?id=support-4711&at=x", &[("hx-request", "true")])
        .await;
    assert_eq!(
        part.body.trim(),
        "<p class=\"problem\" role=\"alert\">there is no such checkpoint</p>"
    );
}

#[tokio::test]
async fn the_page_works_under_any_path() {
    let memory = MemoryCheckpointer::new();
    Story::new(&memory, "support-4711").support().await;
    let page = inspector::page::router(std::sync::Arc::new(memory), Options::new());
    let service = axum::Router::new().nest("/some/inspector", page);
    let browser = Browser::of(service);
    let enter = browser.get("some/inspector").await;
    assert_eq!(enter.location(), "inspector/threads");
    let threads = browser.get("some/inspector/threads").await;
    for link in threads.links() {
        assert!(!link.starts_with('/'), "{link}");
        let answer = browser.get(&format!("some/inspector/{link}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{link}");
    }
}

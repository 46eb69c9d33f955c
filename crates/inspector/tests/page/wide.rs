//! Checkpoints of many channels, writes, questions or calls: the page has the start of each.

use axum::http::StatusCode;
use checkpointer::serde_json::{Map, json};
use checkpointer::{Checkpointer, MemoryCheckpointer, PutWrites, TaskId};
use inspector::page::Options;
use rig::Story;

use crate::browser::Browser;

fn assert_has(body: &str, parts: &[&str]) {
    for part in parts {
        assert!(body.contains(part), "no {part:?} in:\n{body}");
    }
}

/// How many bytes the page of a checkpoint may have that is wide: of many channels, writes or questions.
const WIDE: usize = 120_000;

#[tokio::test]
async fn of_many_channels_the_first_are_shown_and_the_rest_are_asked_for() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "wide");
    let names: Vec<_> = (0..5_000).map(|n| format!("channel-{n:04}")).collect();
    let values = |n: i64| names.iter().map(|name| (&**name, json!([n]))).collect();
    let first = story.begin(values(1)).await;
    story.step(&first, "all", values(2)).await;
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("thread?id=wide").await;
    assert!(page.body.len() < WIDE, "{} bytes", page.body.len());
    assert_has(
        &page.body,
        &["channel-0000", "4900 more", "4800 more changes"],
    );
    let last = browser.get("value?id=wide&path=%2Fstate&from=4900").await;
    assert_has(&last.body, &["channel-4900", "channel-4999"]);
    assert!(!last.body.contains(" more<"), "{}", last.body);
    let none = browser.get("value?id=wide&path=%2Fstate%2Fnone").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_many_writes_the_first_are_shown_and_all_are_asked_for() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "wide");
    let at = story.begin(vec![("n", json!(1))]).await;
    for task in ["map", "reduce"] {
        let task = TaskId::new(task).unwrap();
        let writes: Vec<_> = (0..10_000)
            .map(|n| (format!("out-{n}"), json!(n)))
            .collect();
        let put = PutWrites::new(&at.address, &task, &writes);
        memory.put_writes(put).await.unwrap();
    }
    for task in 0..50 {
        let question = json!(format!("May {task} go on?"));
        story
            .write(&at, &format!("ask-{task}"), "__interrupt__", question)
            .await;
    }
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("thread?id=wide").await;
    assert!(page.body.len() < WIDE, "{} bytes", page.body.len());
    assert_has(
        &page.body,
        &["All 20050 of them", "30 more questions and failures"],
    );
    assert_eq!(page.body.matches("Waits for an answer").count(), 20);
    let all = browser.get("value?id=wide&path=%2Fwrites").await;
    assert_has(&all.body, &["May 49 go on?", "19950 more"]);
}

#[tokio::test]
async fn of_a_long_question_and_many_calls_the_start_is_shown_and_the_rest_is_asked_for() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "wide");
    let calls: Vec<_> = (0..1_000)
        .map(|n| json!({ "name": format!("call-{n}"), "args": { "n": n } }))
        .collect();
    let message = json!([{ "type": "ai", "content": "Now.", "tool_calls": calls }]);
    let at = story
        .begin(vec![("a", message.clone()), ("b", message)])
        .await;
    let question = format!("Is this right? {} And this?", "x".repeat(1_000_000));
    let asked = json!([{ "id": "1", "value": question }]);
    story.write(&at, "ask", "__interrupt__", asked).await;
    story
        .write(&at, "fail", "__error__", json!("y".repeat(1_000_000)))
        .await;
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("thread?id=wide").await;
    assert!(page.body.len() < WIDE, "{} bytes", page.body.len());
    assert_has(
        &page.body,
        &[
            "Is this right?",
            "The whole question",
            "The whole error",
            "All 1000 calls",
            "1 message<",
        ],
    );
    let whole = "value?id=wide&path=%2Fwrites%2F0%2F0%2Fvalue&from=1000000";
    assert_has(&browser.get(whole).await.body, &["And this?"]);
    let calls = "value?id=wide&path=%2Fstate%2Fa%2F0%2Ftool_calls";
    assert_has(&browser.get(calls).await.body, &["call-99"]);
}

#[tokio::test]
async fn of_long_names_the_start_is_shown_and_nothing_leads_to_them() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "wide");
    let names = ["long", "list", "short"];
    let member = |n: usize| {
        let value = [
            json!("x".repeat(1_000)),
            json!(["y".repeat(1_000)]),
            json!(1),
        ];
        let name = format!("{}-{n}-{}", names[n % 3], "z".repeat(50_000));
        (name, value[n % 3].clone())
    };
    let members: Map<_, _> = (0..90).map(member).collect();
    story.begin(vec![("state", json!(members))]).await;
    story.set_metadata(json!(members)).await;
    let browser = Browser::new(memory.clone(), Options::new().allow_writes());
    for part in [
        "thread?id=wide",
        "about?id=wide",
        "value?id=wide&path=%2Fstate%2Fstate",
    ] {
        let answer = browser.get(part).await;
        assert_eq!(answer.status, StatusCode::OK, "{part}");
        let bytes = answer.body.len();
        assert!(bytes < WIDE, "{part}: {bytes} bytes");
    }
    let members = browser.get("value?id=wide&path=%2Fstate%2Fstate").await;
    assert_has(&members.body, &["long-0-", "xxx", "list-1-", "1 item"]);
    assert_eq!(members.body.matches("too long a name").count(), 60);
    let about = browser.get("about?id=wide").await;
    assert_has(&about.body, &["long-0-", "xxx", "aria-label=\"New key\""]);

    // A form would change the ends of lines.
    story.set_metadata(json!({ "of two\nlines": 1 })).await;
    let about = browser.get("about?id=wide").await;
    assert!(
        !about.body.contains("name=\"key\" value="),
        "{}",
        about.body
    );
}

#[tokio::test]
async fn channels_with_the_longest_names_fit_on_the_page() {
    let memory = MemoryCheckpointer::new();
    let names: Vec<_> = (0..100)
        .map(|n| format!("{n}-{}", "é".repeat(2_000)))
        .collect();
    let value = json!(["x".repeat(1_000)]);
    let channels = names.iter().map(|name| (&**name, value.clone()));
    Story::new(&memory, "wide").begin(channels.collect()).await;
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("thread?id=wide").await;
    assert!(page.body.len() < WIDE, "{} bytes", page.body.len());
}

#[tokio::test]
async fn of_many_arguments_of_calls_the_keys_are_shown_and_the_rest_is_asked_for() {
    let memory = MemoryCheckpointer::new();
    let arguments = (0..100).map(|n| (format!("argument-{n}"), json!("x".repeat(250))));
    let call = json!({ "name": "buy", "args": Map::from_iter(arguments) });
    let calls: Vec<_> = (0..5).map(|_| &call).collect();
    let message = json!({ "type": "ai", "content": "Now.", "tool_calls": calls });
    let messages: Vec<_> = (0..20).map(|_| &message).collect();
    Story::new(&memory, "wide")
        .begin(vec![("messages", json!(messages))])
        .await;
    let browser = Browser::new(memory, Options::new());
    let page = browser.get("thread?id=wide").await;
    assert!(page.body.len() < WIDE, "{} bytes", page.body.len());
    let arguments = "value?id=wide&path=%2Fstate%2Fmessages%2F0%2Ftool_calls%2F0%2Fargs";
    assert_has(&browser.get(arguments).await.body, &["argument-99"]);
}

#[tokio::test]
async fn of_the_keys_and_sizes_of_a_thread_those_that_are_not_shown_are_counted() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "wide");
    let names: Vec<_> = (0..5_000).map(|n| format!("channel-{n:04}")).collect();
    let values = names.iter().map(|name| (&**name, json!([1])));
    story.begin(values.collect()).await;
    let browser = Browser::new(memory.clone(), Options::new());
    for (members, counted) in [(200, None), (250, Some("50 more keys aren't shown"))] {
        let members = (0..members).map(|n| (format!("key-{n:03}"), json!(n)));
        story.set_metadata(Map::from_iter(members).into()).await;
        let about = browser.get("about?id=wide").await.body;
        assert_eq!(about.matches("key-").count(), 200);
        assert_has(&about, &counted.into_iter().collect::<Vec<_>>());
        assert_eq!(about.contains("more keys"), counted.is_some());
    }
    let size = browser.get("size?id=wide").await.body;
    assert_has(&size, &["4800 more channels aren't shown"]);
}

//! Writing has to be allowed, and only the page's own forms write.

use axum::http::StatusCode;
use checkpointer::channels::{INTERRUPT, RESUME};
use checkpointer::serde_json::{Value, json};
use checkpointer::{
    ChannelVersions, Checkpoint, Checkpointer, GetTuple, MemoryCheckpointer, Metadata,
    PendingWrite, Put, PutWrites, Source, TaskId, ThreadId,
};
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
pub(crate) async fn key(browser: &Browser) -> String {
    let body = browser.get("thread?id=support-4711").await.body;
    let (_, rest) = body.split_once("name=\"form_key\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

pub(crate) fn fork(support: &Support, key: &str) -> String {
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
    assert!(!body.contains("method=\"post\""));
    let about = browser.get("about?id=support-4711").await.body;
    assert!(about.contains("ann") && !about.contains("<form"));
    for link in ["fork", "answer", "metadata", "pin"] {
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
        let form = format!("form_key={key}&id=support-4711&key=customer&remove=yes");
        assert_eq!(
            browser.post("metadata", &form).await.status,
            StatusCode::FORBIDDEN
        );
        let form = format!("form_key={key}&id=support-4711&pinned=true");
        assert_eq!(
            browser.post("pin", &form).await.status,
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
    assert!(!head.pinned);
    assert_eq!(metadata(&memory).await["customer"], "ann");
    assert!(
        !head
            .pending_writes
            .iter()
            .any(|write| write.channel == RESUME)
    );
}

#[tokio::test]
async fn a_fork_with_two_values_for_a_channel_is_refused() {
    let (memory, support, browser) = page(Options::new().allow_writes()).await;
    let form = fork(&support, &key(&browser).await);
    // A second `tone`.
    let form = form.replace("%7D", "%2C%22tone%22%3A%22kind%22%7D");
    let answer = browser.post("fork", &form).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.body.contains("there twice"), "{}", answer.body);
    let head = GetTuple::head("support-4711").unwrap();
    let head = memory.get_tuple(head).await.unwrap().unwrap();
    assert_eq!(head.address, support.head.address);
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

/// The form that the page has for an answer.
async fn answer(browser: &Browser, answer: &str) -> String {
    let key = key(browser).await;
    let body = browser.get("checkpoint?id=support-4711").await.body;
    let (_, rest) = body.split_once("name=\"seen\" value=\"").unwrap();
    let seen = rest.split_once('"').unwrap().0;
    format!("form_key={key}&id=support-4711&task=ask&seen={seen}&answer={answer}")
}

/// The answers that are stored.
async fn answers(memory: &MemoryCheckpointer) -> PendingWrite {
    let head = GetTuple::head("support-4711").unwrap();
    let head = memory.get_tuple(head).await.unwrap().unwrap();
    let mut writes = head.pending_writes.into_iter();
    writes.find(|write| write.channel == RESUME).unwrap()
}

#[tokio::test]
async fn an_answer_is_added_to_those_that_the_task_has() {
    let (memory, _, browser) = page(Options::new().allow_writes()).await;
    for (given, expected) in [
        ("true", json!([true])),
        ("as+you+like", json!([true, "as you like"])),
    ] {
        let form = answer(&browser, given).await;
        assert_eq!(
            browser.post("answer", &form).await.status,
            StatusCode::SEE_OTHER
        );
        let stored = answers(&memory).await;
        assert_eq!(
            (stored.task_id.as_str(), &*stored.value),
            ("ask", &expected)
        );
    }
}

#[tokio::test]
async fn a_number_that_json_would_change_is_an_answer_as_a_text_and_refused_within_others() {
    let (memory, support, browser) = page(Options::new().allow_writes()).await;
    let form = answer(&browser, "49001234567890123456789").await;
    let given = browser.post("answer", &form).await;
    assert_eq!(given.status, StatusCode::SEE_OTHER);
    let expected = json!(["49001234567890123456789"]);
    assert_eq!(*answers(&memory).await.value, expected);
    let form = answer(&browser, "%5B49001234567890123456789%5D").await;
    let forked = fork(&support, &key(&browser).await);
    let forked = forked.replace("%22formal%22", "0.10000000000000000001");
    for (link, form, number) in [
        ("answer", form, "49001234567890123456789"),
        ("fork", forked, "0.10000000000000000001"),
    ] {
        let refused = browser.post(link, &form).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        let expected = format!("the number {number} would lose digits");
        assert!(refused.body.contains(&expected), "{}", refused.body);
    }
    assert_eq!(*answers(&memory).await.value, expected);
}

#[tokio::test]
async fn what_langgraph_could_not_read_is_refused_in_its_threads_only() {
    for (task, status) in [
        ("__input__", StatusCode::BAD_REQUEST),
        ("ask", StatusCode::SEE_OTHER),
    ] {
        let (memory, support, _) = page(Options::new()).await;
        let mut checkpoint = Checkpoint::child_of(&support.head);
        (checkpoint.versions_seen).insert(task.to_owned(), ChannelVersions::new());
        let metadata = Metadata::new(Source::Loop, 3);
        let versions = checkpoint.channel_versions.clone();
        let put = Put::after(&support.head.address, &checkpoint, &metadata);
        let head = memory.put(put.new_versions(&versions)).await.unwrap();
        let ask = TaskId::new("ask").unwrap();
        let question = [(INTERRUPT.to_owned(), json!("Refund it?"))];
        let put = PutWrites::new(&head, &ask, &question);
        memory.put_writes(put).await.unwrap();

        let browser = Browser::new(memory, Options::new().allow_writes());
        // {"!x":1}
        let form = answer(&browser, "%7B%22%21x%22%3A1%7D").await;
        let given = browser.post("answer", &form).await;
        let (key, id) = (key(&browser).await, head.checkpoint_id);
        let form = format!(
            "form_key={key}&id=support-4711&at={id}&head={id}&changes=%7B%22tone%22%3A%7B%22%21x%22%3A1%7D%7D"
        );
        let forked = browser.post("fork", &form).await;
        for (answer, what) in [(given, "the answer"), (forked, "the value of `tone`")] {
            assert_eq!(answer.status, status, "{}", answer.body);
            let refused = format!("LangGraph couldn't read {what}");
            let is_refused = answer.body.replace("&#39;", "'").contains(&refused);
            assert_eq!(is_refused, status == StatusCode::BAD_REQUEST);
        }
    }
}

#[tokio::test]
async fn an_answer_stands_among_the_other_writes_of_its_task() {
    let memory = MemoryCheckpointer::new();
    let story = Story::new(&memory, "support-4711");
    let at = story.begin(vec![("n", json!(1))]).await;
    let ask = TaskId::new("ask").unwrap();
    let question = [(INTERRUPT.to_owned(), json!("Refund it?"))];
    let put = PutWrites::new(&at.address, &ask, &question);
    memory.put_writes(put.task_path("p, ask")).await.unwrap();
    let browser = Browser::new(memory.clone(), Options::new().allow_writes());
    let form = answer(&browser, "true").await;
    let answer = browser.post("answer", &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answers(&memory).await.task_path, "p, ask");
}

#[tokio::test]
async fn an_answer_is_for_what_the_person_has_seen() {
    let (memory, support, browser) = page(Options::new().allow_writes()).await;
    // A double click, or two people.
    let form = answer(&browser, "true").await;
    for status in [StatusCode::SEE_OTHER, StatusCode::CONFLICT] {
        assert_eq!(browser.post("answer", &form).await.status, status);
        assert_eq!(*answers(&memory).await.value, json!([true]));
    }
    let form = answer(&browser, "true").await;
    let ask = TaskId::new("ask").unwrap();
    let question = [(INTERRUPT.to_owned(), json!("Shall I delete the account?"))];
    let put = PutWrites::new(&support.head.address, &ask, &question);
    memory.put_writes(put).await.unwrap();
    let answer = browser.post("answer", &form).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(*answers(&memory).await.value, json!([true]));
}

async fn metadata(memory: &MemoryCheckpointer) -> Value {
    let thread_id = ThreadId::new("support-4711").unwrap();
    let thread = memory.thread_info(&thread_id).await.unwrap();
    thread.unwrap().metadata.into()
}

#[tokio::test]
async fn the_metadata_of_a_thread_is_changed_key_by_key() {
    let (memory, _, browser) = page(Options::new().allow_writes()).await;
    let key = key(&browser).await;
    for (change, expected) in [
        ("key=tier&value=1", json!({ "customer": "ann", "tier": 1 })),
        ("key=customer&remove=yes&value=ann", json!({ "tier": 1 })),
        ("key=tier&value=%221%22", json!({ "tier": "1" })),
        (
            "key=a+b&value=as+you+like",
            json!({ "tier": "1", "a b": "as you like" }),
        ),
    ] {
        let form = format!("form_key={key}&id=support-4711&{change}");
        let answer = browser.post("metadata", &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{change}");
        assert_eq!(metadata(&memory).await, expected);
    }
    // A text that JSON could be taken for is shown as JSON, so that it stays a text.
    let about = browser.get("about?id=support-4711").await.body;
    assert!(about.contains("value=\"&#34;1&#34;\"") && about.contains("value=\"as you like\""));
    let nameless = format!("form_key={key}&id=support-4711&key=&value=1");
    let nameless = browser.post("metadata", &nameless).await;
    assert_eq!(nameless.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_checkpoint_is_pinned_and_unpinned() {
    let (memory, support, browser) = page(Options::new().allow_writes()).await;
    let key = key(&browser).await;
    let at = support.draft.address.checkpoint_id.as_str();
    for (pinned, shown) in [(true, 1), (false, 0)] {
        let form = format!("form_key={key}&id=support-4711&at={at}&pinned={pinned}");
        let answer = browser.post("pin", &form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let tuple = memory.get_tuple(GetTuple::at(&support.draft.address)).await;
        assert_eq!(tuple.unwrap().unwrap().pinned, pinned);
        let rows = browser.get("history?id=support-4711").await.body;
        assert_eq!(rows.matches("tag pinned").count(), shown);
        let part = browser.get(answer.location()).await.body;
        assert_eq!(part.contains(">Unpin<"), pinned);
    }
    let form = format!("form_key={key}&id=support-4711&at={at}&pinned=perhaps");
    let answer = browser.post("pin", &form).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

//! Fields that a program doesn't know, because another version of it saved them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Thread;
use crate::{Checkpointer, GetTuple, MemoryCheckpointer};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Newer {
    messages: Vec<String>,
    #[serde(default)]
    approved_by: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Older {
    messages: Vec<String>,
}

fn approved() -> Newer {
    Newer {
        messages: vec![],
        approved_by: Some("Ada".to_owned()),
    }
}

async fn newer(memory: &MemoryCheckpointer) -> Thread<Newer> {
    let mut thread = memory.thread("rolling").unwrap();
    thread.save(&approved()).await.unwrap();
    thread
}

async fn channels(memory: &MemoryCheckpointer) -> Value {
    let head = GetTuple::head("rolling").unwrap();
    let tuple = memory.get_tuple(head).await.unwrap().unwrap();
    json!(tuple.checkpoint.channel_values)
}

fn add(state: &mut Older) {
    state.messages.push("Thanks!".to_owned());
}

#[tokio::test]
async fn a_save_keeps_the_fields_of_a_newer_program() {
    let memory = MemoryCheckpointer::new();
    let mut newer = newer(&memory).await;
    let mut older = memory.thread::<Older>("rolling").unwrap();
    older.update(add).await.unwrap();
    // Without a load in between, and after one.
    older.save(&Older::default()).await.unwrap();
    older.update(add).await.unwrap();
    let state = newer.load().await.unwrap().unwrap();
    assert_eq!(state.approved_by, approved().approved_by);
    assert_eq!(state.messages, ["Thanks!"]);

    let first = newer.history();
    let history: Vec<_> = futures_util::TryStreamExt::try_collect(first)
        .await
        .unwrap();
    let versions = async |n: usize| {
        let query = GetTuple::at(&history[n].address);
        let tuple = memory.get_tuple(query).await.unwrap().unwrap();
        tuple.checkpoint.channel_versions["approved_by"].clone()
    };
    // It didn't change, and so it has its version.
    assert_eq!(versions(0).await, versions(3).await);
}

#[tokio::test]
async fn a_fork_keeps_the_fields_of_the_checkpoint_that_it_goes_on_from() {
    let memory = MemoryCheckpointer::new();
    let first = newer(&memory).await.checkpoint_id().unwrap().clone();
    let mut alone = memory
        .thread::<Older>("rolling")
        .unwrap()
        .owning_all_fields();
    alone.update(add).await.unwrap();
    assert_eq!(channels(&memory).await, json!({ "messages": ["Thanks!"] }));

    let mut older = memory.thread::<Older>("rolling").unwrap();
    let state = older.fork(&first).await.unwrap();
    older.save(&state).await.unwrap();
    assert_eq!(channels(&memory).await, json!(approved()));
}

#[tokio::test]
async fn a_field_that_was_removed_goes_by_an_upgrade() {
    let memory = MemoryCheckpointer::new();
    newer(&memory).await;
    let thread = memory.thread::<Older>("rolling").unwrap();
    let mut thread = thread.versioned(1, |_, mut state| -> Result<_, &str> {
        let fields = state.as_object_mut().ok_or("no object")?;
        fields.remove("approved_by");
        Ok(state)
    });
    thread.update(add).await.unwrap();
    assert_eq!(channels(&memory).await, json!({ "messages": ["Thanks!"] }));
}

#[tokio::test]
async fn a_field_that_is_skipped_or_renamed_leaves_the_state() {
    #[derive(Default, Serialize, Deserialize)]
    struct Skipping {
        messages: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none", alias = "approved_by")]
        approver: Option<String>,
    }

    let memory = MemoryCheckpointer::new();
    newer(&memory).await;
    let mut thread = memory.thread::<Skipping>("rolling").unwrap();
    thread.update(|_| {}).await.unwrap();
    let renamed = json!({ "messages": [], "approver": "Ada" });
    assert_eq!(channels(&memory).await, renamed);
    thread.update(|state| state.approver = None).await.unwrap();
    assert_eq!(channels(&memory).await, json!({ "messages": [] }));
}

#[tokio::test]
async fn a_state_that_is_no_struct_is_replaced_as_a_whole() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "phase")]
    enum Phase {
        Asked { question: String },
        Answered { answer: String },
    }

    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<Phase>("rolling").unwrap();
    let (question, answer) = ("Where?".to_owned(), "Here.".to_owned());
    thread.save(&Phase::Asked { question }).await.unwrap();
    thread.load().await.unwrap();
    thread.save(&Phase::Answered { answer }).await.unwrap();
    let answered = json!({ "phase": "Answered", "answer": "Here." });
    assert_eq!(channels(&memory).await, answered);

    let mut thread = memory.thread::<Option<Older>>("rolling").unwrap();
    thread.load().await.unwrap_err();
    newer(&MemoryCheckpointer::new()).await;
    let memory = MemoryCheckpointer::new();
    newer(&memory).await;
    let mut thread = memory.thread::<Option<Older>>("rolling").unwrap();
    thread.load().await.unwrap();
    thread.save(&None).await.unwrap();
    assert_eq!(channels(&memory).await, json!({ "__root__": null }));
}

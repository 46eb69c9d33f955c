//! Typed threads whose lists grow: a save appends where it can, and stores the whole state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, GetTuple, List, ListThreads,
    PostgresCheckpointer, Prune, PruneStrategy, Put, PutWrites, Removed, Result, Thread,
    ThreadInfo, async_trait,
};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::step::{thread, two};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chat {
    messages: Vec<Message>,
    turn: usize,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    id: usize,
    text: String,
}

fn message(id: usize) -> Message {
    Message {
        id,
        text: format!("message {id}, ").repeat(15),
    }
}

/// A checkpointer that counts the puts which append.
#[derive(Debug, Clone)]
struct Seen {
    checkpointer: PostgresCheckpointer,
    appends: Arc<AtomicUsize>,
}

impl Seen {
    fn new(checkpointer: &PostgresCheckpointer) -> Self {
        Self {
            checkpointer: checkpointer.clone(),
            appends: Arc::default(),
        }
    }

    fn appends(&self) -> usize {
        self.appends.load(Ordering::Relaxed)
    }

    fn thread(&self, name: &str) -> Thread<Chat> {
        Thread::new(self.clone(), name).unwrap()
    }
}

#[async_trait]
impl Checkpointer for Seen {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        let appends = usize::from(!put.appended.is_empty());
        self.appends.fetch_add(appends, Ordering::Relaxed);
        self.checkpointer.put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.checkpointer.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.checkpointer.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.checkpointer.list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.checkpointer.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.checkpointer.threads(query)
    }

    async fn close(&self) -> Result<()> {
        self.checkpointer.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.checkpointer)
    }
}

#[tokio::test]
async fn a_save_appends_to_a_list_that_grew_and_saves_another_as_a_whole() {
    let (_test, [writer, reader]) = two().await;
    let seen = Seen::new(&writer);
    let mut saving = seen.thread("appends");
    let mut chat = Chat::default();
    chat.messages.extend((0..100).map(message));
    saving.save(&chat).await.unwrap();
    for n in 100..120 {
        chat.messages.push(message(n));
        saving.save(&chat).await.unwrap();
    }
    assert_eq!(seen.appends(), 20);
    chat.messages[50] = message(1000);
    let edited = saving.save(&chat).await.unwrap();
    assert_eq!(seen.appends(), 20);
    let read = reader.thread::<Chat>("appends").unwrap();
    assert_eq!(read.at(&edited.checkpoint_id).await.unwrap(), chat);
}

#[tokio::test]
async fn random_edits_are_read_back_whatever_others_do() {
    let (_test, [writer, gardener]) = two().await;
    let seen = Seen::new(&writer);
    let mut saving = seen.thread("edits");
    let mut reading = gardener.thread::<Chat>("edits").unwrap();
    let mut rng = fastrand::Rng::with_seed(4711);
    let mut chat = Chat::default();
    for turn in 0..40 {
        chat.turn = turn;
        let list = &mut chat.messages;
        match rng.usize(..10) {
            0 => list.truncate(rng.usize(..=list.len())),
            1 => list.insert(rng.usize(..=list.len()), message(turn)),
            2 => list.reverse(),
            3 => {}
            _ => list.extend((0..rng.usize(..30)).map(message)),
        }
        saving.save(&chat).await.unwrap();
        assert_eq!(reading.load().await.unwrap().as_ref(), Some(&chat));
        match rng.usize(..8) {
            0 => {
                let strategy = PruneStrategy::KeepLatest;
                let prune = Prune::new([&thread("edits")], strategy).unwrap();
                let pruned = gardener.prune(prune).await.and_then(Removed::complete);
                pruned.unwrap();
            }
            1 => {
                reading
                    .update(|chat| chat.messages.push(message(0)))
                    .await
                    .unwrap();
                chat = saving.load().await.unwrap().unwrap();
            }
            _ => {}
        }
    }
    assert!(seen.appends() > 10, "{}", seen.appends());
}

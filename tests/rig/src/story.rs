//! Threads that tests of the inspector look at.

use checkpointer::channels::{ERROR, INTERRUPT};
use checkpointer::serde_json::{Map, Value, json};
use checkpointer::{
    Checkpoint, CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer, Metadata, Put,
    PutWrites, Source, TaskId, ThreadId, Version,
};

/// Writes a thread, step by step.
#[derive(Debug)]
pub struct Story<'a> {
    checkpointer: &'a dyn Checkpointer,
    thread_id: ThreadId,
}

/// The thread of [`Story::support`], and its checkpoints of note.
#[derive(Debug)]
pub struct Support {
    /// The input.
    pub input: CheckpointTuple,
    /// The model's first answer, which has a fork.
    pub draft: CheckpointTuple,
    /// The last checkpoint of the subgraph.
    pub found: CheckpointTuple,
    /// The last checkpoint of the first branch.
    pub first_branch: CheckpointTuple,
    /// The head, whose task `ask` waits for an answer.
    pub head: CheckpointTuple,
}

impl<'a> Story<'a> {
    /// Begins to write a thread.
    pub fn new(checkpointer: &'a dyn Checkpointer, thread_id: &str) -> Self {
        Self {
            checkpointer,
            thread_id: ThreadId::new(thread_id).unwrap(),
        }
    }

    /// Puts the first checkpoint.
    pub async fn begin(&self, writes: Vec<(&str, Value)>) -> CheckpointTuple {
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let metadata = Metadata::new(Source::Input, -1);
        self.put(None, &mut checkpoint, metadata, &CheckpointNs::ROOT, writes)
            .await
    }

    /// Puts a checkpoint that a node has made.
    pub async fn step(
        &self,
        parent: &CheckpointTuple,
        node: &str,
        writes: Vec<(&str, Value)>,
    ) -> CheckpointTuple {
        let step = parent.metadata.step().unwrap_or_default() + 1;
        let parents = parent.metadata.get("parents").cloned();
        let metadata = Metadata::new(Source::Loop, step).with("node", node);
        let metadata = metadata.with("parents", parents.unwrap_or_default());
        self.follow(parent, metadata, writes).await
    }

    /// Puts a checkpoint that follows another one.
    pub async fn follow(
        &self,
        parent: &CheckpointTuple,
        metadata: Metadata,
        writes: Vec<(&str, Value)>,
    ) -> CheckpointTuple {
        let mut checkpoint = Checkpoint::child_of(parent);
        let ns = parent.address.checkpoint_ns.clone();
        self.put(Some(parent), &mut checkpoint, metadata, &ns, writes)
            .await
    }

    /// Puts the first checkpoint of a subgraph, which a task of `at` calls.
    pub async fn call(
        &self,
        at: &CheckpointTuple,
        ns: &str,
        writes: Vec<(&str, Value)>,
    ) -> CheckpointTuple {
        let mut checkpoint =
            Checkpoint::new(CheckpointId::generate(Some(&at.address.checkpoint_id)));
        let parents =
            json!({ at.address.checkpoint_ns.as_str(): at.address.checkpoint_id.as_str() });
        let metadata = Metadata::new(Source::Input, -1).with("parents", parents);
        let ns = CheckpointNs::new(ns).unwrap();
        self.put(None, &mut checkpoint, metadata, &ns, writes).await
    }

    /// Stores what a task of `at` has written.
    pub async fn write(&self, at: &CheckpointTuple, task: &str, channel: &str, value: Value) {
        let writes = [(channel.to_owned(), value)];
        let task = TaskId::new(task).unwrap();
        let writes = PutWrites::new(&at.address, &task, &writes);
        self.checkpointer.put_writes(writes).await.unwrap();
    }

    async fn put(
        &self,
        parent: Option<&CheckpointTuple>,
        checkpoint: &mut Checkpoint,
        metadata: Metadata,
        ns: &CheckpointNs,
        writes: Vec<(&str, Value)>,
    ) -> CheckpointTuple {
        checkpoint.updated_channels =
            Some(writes.iter().map(|(name, _)| (*name).to_owned()).collect());
        let changed = checkpoint.write(self.checkpointer, writes);
        let mut put = Put::new(&self.thread_id, checkpoint, &metadata)
            .new_versions(&changed)
            .in_ns(ns);
        if let Some(parent) = parent {
            put = put.parent(&parent.address.checkpoint_id);
        }
        let address = self.checkpointer.put(put).await.unwrap();
        CheckpointTuple::new(address, checkpoint.clone(), metadata)
    }

    /// Writes a conversation with a tool, a subgraph, a fork and a question.
    pub async fn support(&self) -> Support {
        let asked = json!({ "type": "human", "content": "Where is my order 4711?" });
        let input = self
            .begin(vec![
                ("messages", json!([asked])),
                ("customer", json!("ann")),
            ])
            .await;
        let call = json!({ "id": "call-1", "name": "find_order", "args": { "order": 4711 } });
        let calls = json!({ "type": "ai", "content": "I look it up.", "tool_calls": [call] });
        let draft = self
            .step(&input, "model", vec![("messages", json!([asked, calls]))])
            .await;

        let found = self.research(&draft).await;
        let answer = "{\"order\": 4711, \"status\": \"lost in transit\"}";
        let answered = json!({ "type": "tool", "name": "find_order", "content": answer });
        let order = json!({
            "number": 4711, "status": "lost in transit", "total": { "amount": 59.9, "currency": "EUR" },
            "items": [{ "sku": "A-1", "count": 2 }, { "sku": "B-7", "count": 1 }],
        });
        let messages = json!([asked, calls, answered]);
        let writes = vec![
            ("messages", messages),
            ("order", order),
            ("draft", json!("Dear Ann, your order is on its way.")),
        ];
        let first_branch = self.step(&draft, "tools", writes.clone()).await;

        let metadata = Metadata::new(Source::Fork, 1);
        let fork = self
            .follow(&draft, metadata, vec![("tone", json!("friendly"))])
            .await;
        let tools = self.step(&fork, "tools", writes).await;
        let draft_2 = "Dear Ann, your order was lost, and we have sent it again.";
        let head = self
            .step(
                &tools,
                "draft",
                vec![("draft", json!(draft_2)), ("refund", json!(null))],
            )
            .await;
        self.write(
            &head,
            "ask",
            INTERRUPT,
            json!("Refund 59.90 EUR for order 4711?"),
        )
        .await;
        self.write(&head, "log", "notes", json!("asked at the desk"))
            .await;
        let metadata = json!({ "customer": "ann", "tier": 3 });
        self.set_metadata(metadata).await;
        Support {
            input,
            draft,
            found,
            first_branch,
            head,
        }
    }

    async fn research(&self, at: &CheckpointTuple) -> CheckpointTuple {
        let first = self
            .call(at, "research:task-1", vec![("query", json!("order 4711"))])
            .await;
        let search = self
            .step(
                &first,
                "search",
                vec![("hits", json!(["warehouse", "carrier"]))],
            )
            .await;
        self.step(
            &search,
            "read",
            vec![("finding", json!("The carrier has lost it."))],
        )
        .await
    }

    /// Writes `texts` wherever a thread may hold text.
    pub async fn hostile(&self, texts: &[&str]) -> CheckpointTuple {
        let all = json!(texts);
        let message = json!({ "type": "human", "name": texts[0], "content": texts.concat(), "artifact": all });
        let object: Map<String, Value> = texts
            .iter()
            .map(|text| ((*text).to_owned(), all.clone()))
            .collect();
        let writes = vec![("messages", json!([message])), ("texts", all.clone())];
        let first = self.begin(writes).await;
        let metadata = Metadata::new(Source::Loop, 0)
            .with("node", texts[0])
            .with("texts", all.clone());
        let metadata = metadata
            .with("run_id", texts[0])
            .with(texts[0], object.clone());
        let mut writes = vec![
            ("object", Value::from(object.clone())),
            ("texts", json!("gone")),
        ];
        writes.extend(texts.iter().map(|text| (*text, json!(texts.concat()))));
        let head = self.follow(&first, metadata, writes).await;
        for text in texts {
            self.write(&head, text, INTERRUPT, json!(text)).await;
            self.write(&head, text, "other", json!(texts)).await;
        }
        for text in texts {
            self.hostile_names(&head, text).await;
        }
        self.set_metadata(object.into()).await;
        head
    }

    /// Writes `text` as each name that a checkpoint and its tasks have.
    async fn hostile_names(&self, at: &CheckpointTuple, text: &str) {
        let asks = format!("asks {text}");
        self.write(at, &asks, INTERRUPT, json!({ text: text }))
            .await;
        let fails = format!("fails {text}");
        self.write(at, &fails, ERROR, json!(text)).await;
        let task = TaskId::new(format!("writes {text}")).unwrap();
        let writes = [(text.to_owned(), json!(text))];
        let writes = PutWrites::new(&at.address, &task, &writes).task_path(text);
        self.checkpointer.put_writes(writes).await.unwrap();

        let ns = CheckpointNs::new(text).unwrap();
        let mut checkpoint = Checkpoint::new(CheckpointId::new(text).unwrap());
        checkpoint.ts = text.to_owned();
        let seen = [(text.to_owned(), Version::from(text))];
        checkpoint.versions_seen = [(text.to_owned(), seen.into())].into();
        let parents =
            json!({ at.address.checkpoint_ns.as_str(): at.address.checkpoint_id.as_str() });
        let metadata = Metadata::new(Source::Loop, 0).with("parents", parents);
        let metadata = metadata.with("source", text).with(text, text);
        let call = json!({ "id": text, "name": text, "args": { text: text } });
        let message = json!({ "type": "ai", "content": [text], "tool_calls": [call] });
        let writes = vec![(text, json!([message])), ("text", json!(text))];
        let called = self.put(None, &mut checkpoint, metadata, &ns, writes).await;
        self.step(&called, text, vec![("text", json!(text.repeat(2)))])
            .await;
    }

    /// Writes `count` checkpoints, one after the other.
    pub async fn long(&self, count: usize) -> CheckpointTuple {
        let mut at = self.begin(vec![("n", json!(0))]).await;
        for n in 1..count {
            at = self.step(&at, "count", vec![("n", json!(n))]).await;
        }
        at
    }

    /// Replaces the thread's metadata with an object.
    pub async fn set_metadata(&self, metadata: Value) {
        let metadata = metadata.as_object().cloned().unwrap_or_default();
        let set = self
            .checkpointer
            .set_thread_metadata(&self.thread_id, metadata);
        set.await.unwrap();
    }
}

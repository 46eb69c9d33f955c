//! Requests of the sizes that `docs/limits.md` has figures for: how long each takes, and how much
//! memory.

mod pages;

use std::process;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer as _, DeleteThread,
    Error, GetTuple, List, Metadata, PostgresCheckpointer, Projection, Prune, PruneStrategy, Put,
    Result, Source, ThreadId, Version,
};
use db::{Database, GenericClient, Statement};
use futures_util::TryStreamExt as _;
use rig::{PrivateServer, client, cpu_seconds, forget_peak, peak_bytes, settings_for};
use serde_json::{Map, Value, json};

static BACKEND: Statement = Statement::new("SELECT pg_catalog.pg_backend_pid()", &[]);

/// What is measured with, and what was found to be wrong.
struct Limits {
    scale: f64,
    url: String,
    database: Database,
    checkpointer: PostgresCheckpointer,
    backend: u32,
    violations: Vec<String>,
}

pub(crate) async fn limits(scale: f64) -> anyhow::Result<Vec<String>> {
    println!("\nlarge requests, with one connection");
    println!(
        "  {:<58} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "seconds", "CPU", "server's", "MB", "server's"
    );
    let server = PrivateServer::start(&[]).await?;
    let mut limits = Limits::connect(server.url(), scale, "30s").await?;
    limits.large_states().await?;
    limits.many_channels().await?;
    limits.many_keys().await?;
    limits.many_checkpoints().await?;
    limits.pages().await?;
    Ok(limits.violations)
}

impl Limits {
    async fn connect(url: String, scale: f64, statement_timeout: &str) -> anyhow::Result<Self> {
        let variables = [
            ("DB_POOL_MAX", "1"),
            ("DB_STATEMENT_TIMEOUT", statement_timeout),
        ];
        let database = Database::connect(&settings_for(&url, &variables)).await?;
        let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
        let backend: i32 = database.get().await?.query_one(&BACKEND, &[]).await?.get(0);
        Ok(Self {
            scale,
            url,
            database,
            checkpointer,
            backend: backend.unsigned_abs(),
            violations: Vec::new(),
        })
    }

    fn number(&self, usual: usize) -> usize {
        (usual as f64 * self.scale).ceil() as usize
    }

    /// Carries out a request, and prints what it took.
    async fn measure<T>(&self, what: &str, request: impl Future<Output = T>) -> T {
        let processes = [process::id(), self.backend];
        processes.into_iter().for_each(forget_peak);
        let before = processes.map(cpu_seconds);
        let started = Instant::now();
        let done = request.await;
        let seconds = started.elapsed().as_secs_f64();
        let cpu = |n: usize| match (before[n], cpu_seconds(processes[n])) {
            (Some(before), Some(after)) => format!("{:.2}", after - before),
            _ => "?".to_owned(),
        };
        let peak = |n: usize| match peak_bytes(processes[n]) {
            Some(bytes) => (bytes >> 20).to_string(),
            None => "?".to_owned(),
        };
        println!(
            "  {what:<58} {seconds:>8.3} {:>8} {:>8} {:>8} {:>8}",
            cpu(0),
            cpu(1),
            peak(0),
            peak(1)
        );
        done
    }

    /// Carries out a request that must succeed.
    async fn works<T>(
        &mut self,
        what: &str,
        request: impl Future<Output = Result<T>>,
    ) -> anyhow::Result<T> {
        let done = self.measure(what, request).await;
        done.with_context(|| what.to_owned())
    }

    fn expect(&mut self, holds: bool, what: &str) {
        if !holds {
            self.violations.push(what.to_owned());
        }
    }

    async fn put(
        &mut self,
        what: &str,
        parent: Option<&CheckpointAddress>,
        thread_id: &ThreadId,
        values: &Map<String, Value>,
    ) -> anyhow::Result<CheckpointAddress> {
        let id = CheckpointId::generate(parent.map(|parent| &parent.checkpoint_id));
        let mut checkpoint = Checkpoint::new(id);
        let version = Version::from(checkpoint.id.as_str());
        for (channel, value) in values {
            let versions = &mut checkpoint.channel_versions;
            versions.insert(channel.clone(), version.clone());
            let values = &mut checkpoint.channel_values;
            values.insert(channel.clone(), value.clone());
        }
        let metadata = Metadata::new(Source::Loop, 0);
        let put = match parent {
            Some(parent) => Put::after(parent, &checkpoint, &metadata),
            None => Put::new(thread_id, &checkpoint, &metadata),
        };
        let checkpointer = self.checkpointer.clone();
        self.works(
            what,
            checkpointer.put(put.new_versions(&checkpoint.channel_versions)),
        )
        .await
    }

    /// Appends an item to the list of a channel, which is all that the checkpoint has.
    async fn append(
        &mut self,
        what: &str,
        parent: &CheckpointAddress,
        (channel, after): (&str, usize),
        item: &Value,
    ) -> anyhow::Result<CheckpointAddress> {
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(Some(&parent.checkpoint_id)));
        let version = Version::from(checkpoint.id.as_str());
        let versions = &mut checkpoint.channel_versions;
        versions.insert(channel.to_owned(), version);
        let metadata = Metadata::new(Source::Loop, 0);
        let item = std::slice::from_ref(item);
        let put = Put::after(parent, &checkpoint, &metadata).append(channel, after, item);
        let checkpointer = self.checkpointer.clone();
        self.works(
            what,
            checkpointer.put(put.new_versions(&checkpoint.channel_versions)),
        )
        .await
    }

    /// Reads a checkpoint, which must have these values.
    async fn get(
        &mut self,
        what: &str,
        address: &CheckpointAddress,
        values: &Map<String, Value>,
    ) -> anyhow::Result<()> {
        let checkpointer = self.checkpointer.clone();
        let got = checkpointer.get_tuple(GetTuple::at(address));
        let got = self.works(what, got).await?.context("it is there")?;
        let is_same = got.checkpoint.channel_values.iter().eq(values);
        self.expect(is_same, what);
        Ok(())
    }

    async fn list(&mut self, what: &str, list: List) -> anyhow::Result<usize> {
        let checkpointer = self.checkpointer.clone();
        let count = async {
            let mut listed = checkpointer.list(list);
            let mut count = 0;
            while listed.try_next().await?.is_some() {
                count += 1;
            }
            Ok(count)
        };
        self.works(what, count).await
    }

    async fn sql(&self, what: &str, sql: &str) -> anyhow::Result<()> {
        let client = client(&self.url).await?;
        Ok(self.measure(what, client.batch_execute(sql)).await?)
    }

    async fn large_states(&mut self) -> anyhow::Result<()> {
        let message = |n: usize| json!({ "id": n, "content": format!("message {n}: ").repeat(70) });
        let count = self.number(100_000);
        let megabytes = self.number(100);
        let thread_id = ThreadId::new("messages")?;
        let mut messages: Vec<Value> = (0..count).map(message).collect();
        let state = |messages: &[Value]| Map::from_iter([("messages".to_owned(), messages.into())]);

        let first = state(&messages);
        let what = format!("{megabytes} MB in {count} messages: first put");
        let address = self.put(&what, None, &thread_id, &first).await?;
        let address = self
            .put("  put again, unchanged", Some(&address), &thread_id, &first)
            .await?;
        messages.push(message(count));
        let longer = state(&messages);
        let mut address = self
            .put(
                "  put with one more message",
                Some(&address),
                &thread_id,
                &longer,
            )
            .await?;
        for what in ["  append of one more message", "  append of the next one"] {
            let item = message(messages.len());
            address = self
                .append(what, &address, ("messages", messages.len()), &item)
                .await?;
            messages.push(item);
        }
        let longer = state(&messages);
        self.get("  get_tuple", &address, &longer).await?;
        let listed = self
            .list("  list of its 5 checkpoints", List::thread(&thread_id)?)
            .await?;
        self.expect(listed == 5, "a list of large states is whole");

        let thread_id = ThreadId::new("text")?;
        let text = Map::from_iter([("text".to_owned(), "large text".repeat(count * 100).into())]);
        let what = format!("{megabytes} MB in one string: first put");
        let address = self.put(&what, None, &thread_id, &text).await?;
        let address = self
            .put("  put again, unchanged", Some(&address), &thread_id, &text)
            .await?;
        self.get("  get_tuple", &address, &text).await
    }

    async fn many_channels(&mut self) -> anyhow::Result<()> {
        let count = self.number(10_000);
        let thread_id = ThreadId::new("channels")?;
        let channels = (0..count).map(|n| (format!("channel {n}"), json!({ "n": n })));
        let mut channels: Map<String, Value> = channels.collect();
        let what = format!("{count} channels: first put");
        let address = self.put(&what, None, &thread_id, &channels).await?;
        channels.insert("channel 0".to_owned(), json!({ "n": "changed" }));
        let address = self
            .put(
                "  put with one changed",
                Some(&address),
                &thread_id,
                &channels,
            )
            .await?;
        self.get("  get_tuple", &address, &channels).await
    }

    async fn many_keys(&mut self) -> anyhow::Result<()> {
        let count = self.number(10_000);
        let keys = (0..count).map(|n| (format!("key {n}"), Value::from(n)));
        let filter: Map<String, Value> = keys.collect();
        let what = format!("filter with {count} keys: list");
        let found = self.list(&what, List::all().filter(filter.clone())).await?;
        self.expect(found == 0, "a filter that matches nothing finds nothing");
        let thread_id = ThreadId::new("messages")?;
        self.list(
            "  list of a thread",
            List::thread(thread_id)?.filter(filter),
        )
        .await?;
        Ok(())
    }

    async fn many_checkpoints(&mut self) -> anyhow::Result<()> {
        let count = self.number(1_000_000) / 2 * 2;
        let long = ThreadId::new("long")?;
        let state = Map::from_iter([("n".to_owned(), json!(1))]);
        let seed = self.put("one checkpoint", None, &long, &state).await?;
        let sql = FILL.replace("{count}", &(count / 2).to_string());
        let sql = sql.replace("{seed}", seed.checkpoint_id.as_str());
        self.sql(
            &format!("{count} checkpoints in one thread: made by SQL"),
            &sql,
        )
        .await?;

        let place = |n: usize| CheckpointId::new(format!("made-{n:09}"));
        let head = CheckpointAddress::new(long.clone(), place(count / 2)?)?;
        self.get("  get_tuple of the head", &head, &state).await?;
        let checkpointer = self.checkpointer.clone();
        let head = checkpointer.get_tuple(GetTuple::head(&long)?).await?;
        let head = head.context("it is there")?.address;
        self.put("  put onto the head", Some(&head), &long, &state)
            .await?;

        let page = List::thread(&long)?.limit(64);
        let in_root = || page.clone().in_ns(CheckpointNs::ROOT);
        let deep = place(count / 5)?;
        let with = |key: &str, value: usize| Map::from_iter([(key.to_owned(), Value::from(value))]);
        let source = || Map::from_iter([("source".to_owned(), Value::from("loop"))]);
        for (what, list, expected) in [
            ("  list: a page", page.clone(), 64),
            ("  list: a page in a namespace", in_root(), 64),
            (
                "  list: a page before one",
                page.clone().before(deep.clone()),
                64,
            ),
            (
                "  list: a page in a namespace, before one",
                in_root().before(deep),
                64,
            ),
            (
                "  list: a page, filter that everything matches",
                page.clone().filter(source()),
                64,
            ),
            (
                "  list: the same in a namespace",
                in_root().filter(source()),
                64,
            ),
            (
                "  list: a page, filter that 2 match",
                page.clone().filter(with("step", count / 4)),
                2,
            ),
            (
                "  list: a page, filter that nothing matches",
                page.clone().filter(with("no", 1)),
                0,
            ),
        ] {
            // The server makes a plan for the values at hand five times, and then may make one for
            // any.
            for _ in 0..6 {
                checkpointer
                    .list(list.clone())
                    .try_collect::<Vec<_>>()
                    .await?;
            }
            let found = self.list(what, list).await?;
            self.expect(found == expected, what);
        }
        let all = List::thread(&long)?.project(Projection::Metadata);
        let listed = self.list("  list: all of it, metadata only", all).await?;
        self.expect(listed == count + 2, "a list of a long thread is whole");
        self.sql(
            "  state(), in SQL",
            "SELECT checkpointer.state('long'); SELECT checkpointer.state('long', 'sub')",
        )
        .await?;
        self.removals(&long).await
    }

    /// Copies, prunes and deletes a long thread; where the statement time-out ends that, once more
    /// without.
    async fn removals(&mut self, long: &ThreadId) -> anyhow::Result<()> {
        let copy = ThreadId::new("copy")?;
        for what in [
            "copy_thread",
            "prune that keeps the latest",
            "delete_thread",
        ] {
            for timeout in ["30s", "off"] {
                let mut patient = Self::connect(self.url.clone(), self.scale, timeout).await?;
                let checkpointer = patient.checkpointer.clone();
                let request = async {
                    match what {
                        "copy_thread" => checkpointer.copy_thread(long, &copy).await,
                        "delete_thread" => {
                            checkpointer.delete_thread(DeleteThread::new(long)?).await
                        }
                        _ => {
                            let copies = vec![copy.clone()];
                            let prune = Prune::new(copies, PruneStrategy::KeepLatest)?;
                            checkpointer.prune(prune).await?.complete()
                        }
                    }
                };
                let title = format!("  {what}, statement time-out {timeout}");
                match patient.measure(&title, request).await {
                    Ok(()) => {
                        patient
                            .database
                            .close(std::time::Duration::from_secs(1))
                            .await?;
                        break;
                    }
                    Err(Error::Database {
                        operation, source, ..
                    }) => {
                        println!("    failed to {operation}: {source}");
                        ensure!(timeout == "30s", "{what} fails without a time-out");
                    }
                    Err(other) => return Err(other.into()),
                }
                let left =
                    patient.list("    a page of what is there", List::thread(long)?.limit(1));
                let left = left.await?;
                self.expect(left == 1, "a removal that fails removes nothing");
                patient
                    .database
                    .close(std::time::Duration::from_secs(1))
                    .await?;
            }
        }
        let all = List::thread(&copy)?.project(Projection::Metadata);
        let kept = self.list("  list of what the prune has kept", all).await?;
        self.expect(kept == 2, "a prune keeps the heads");
        Ok(())
    }
}

/// Checkpoints in two namespaces, as a client stores them.
const FILL: &str = "
INSERT INTO checkpointer.checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,
    seq, checkpoint, channels, metadata)
SELECT c.thread_id, ns, 'made-' || lpad(n::text, 9, '0'),
    CASE WHEN n > 1 THEN 'made-' || lpad((n - 1)::text, 9, '0') END,
    n + 1, c.checkpoint, c.channels, jsonb_set(c.metadata, '{step}', to_jsonb(n))
FROM checkpointer.checkpoints AS c, unnest(ARRAY['', 'sub']) AS ns, generate_series(1, {count}) AS n
WHERE c.thread_id = 'long' AND c.checkpoint_id = '{seed}';
INSERT INTO checkpointer.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
SELECT 'long', ns, 'made-' || lpad('{count}', 9, '0'), {count} + 1, now()
FROM unnest(ARRAY['', 'sub']) AS ns
ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE
SET checkpoint_id = excluded.checkpoint_id, seq = excluded.seq;
ANALYZE";

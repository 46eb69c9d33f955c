//! Pages of lists, where there are ten thousand threads and where there are a million, with five times
//! as many checkpoints.

use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use checkpointer::{CheckpointId, Checkpointer as _, Error, List, ListThreads, ThreadInfo};
use futures_util::TryStreamExt as _;
use serde_json::{Map, Value, json};

use super::Limits;

/// How much longer a page may take where there are a hundred times as many threads.
const MOST_TIMES: f64 = 10.0;

/// A request, and how many answers it has at least.
enum Page {
    Threads(ListThreads, usize),
    Checkpoints(List, usize),
}

impl Limits {
    pub(super) async fn pages(&mut self) -> anyhow::Result<()> {
        let (few, many) = (self.number(10_000), self.number(1_000_000));
        self.fill(1, few).await?;
        let among_few = self.measure_pages(few).await?;
        self.fill(few + 1, many).await?;
        let among_many = self.measure_pages(many).await?;
        for ((what, before), (_, after)) in among_few.iter().zip(among_many) {
            let times = after / before;
            println!("    {what:<56} {times:>8.1} times");
            self.expect(
                times <= MOST_TIMES,
                &format!("{what}: {times:.1} times as long"),
            );
        }
        self.whole_lists(many).await
    }

    /// Makes threads up to a number, each with five checkpoints and a head.
    async fn fill(&self, first: usize, last: usize) -> anyhow::Result<()> {
        let sql = THREADS.replace("{first}", &first.to_string());
        let sql = sql.replace("{last}", &last.to_string());
        self.sql(
            &format!("{last} threads, 5 checkpoints each: made by SQL"),
            &sql,
        )
        .await
    }

    /// What each page takes at best.
    async fn measure_pages(&mut self, threads: usize) -> anyhow::Result<Vec<(String, f64)>> {
        let mut measured = Vec::new();
        for (what, page) in self.requests(threads).await? {
            let mut best = f64::INFINITY;
            // The server makes a plan for the values at hand five times, and then may make one for
            // any.
            for _ in 0..6 {
                self.run(None, &page).await?;
            }
            for repetition in 0..5 {
                let title = format!("  {what}");
                let title = (repetition == 0).then_some(&*title);
                best = best.min(self.run(title, &page).await?);
            }
            measured.push((what.to_owned(), best));
        }
        Ok(measured)
    }

    async fn requests(&mut self, threads: usize) -> anyhow::Result<Vec<(&'static str, Page)>> {
        let middle = self.thread_in_the_middle(threads).await?;
        let all = || ListThreads::all().limit(50);
        let with = |metadata: Value| all().filter(object(metadata));
        let of = |metadata: Value| List::all().limit(64).filter(object(metadata));
        let before = CheckpointId::new(format!("made-{:012}", threads * 5 / 2))?;
        let rare = threads / 5000;
        let waiting = || object(json!({ "waits_for": "approval" }));
        Ok(vec![
            ("threads: the last 50", Page::Threads(all(), 50)),
            (
                "threads: 50 in the middle",
                Page::Threads(all().after(middle.clone()), 50),
            ),
            (
                "threads: the 50 that changed first",
                Page::Threads(all().oldest_first(), 50),
            ),
            (
                "threads: the last 50 before a time",
                Page::Threads(all().changed_before(middle.updated_at), 50),
            ),
            (
                "threads: one, by its metadata",
                Page::Threads(with(json!({ "n": 7 })), 1),
            ),
            (
                "threads: 50 by metadata of 1 in 5,000",
                Page::Threads(with(json!({ "rare": 11 })), rare.min(50)),
            ),
            (
                "threads: 50 by metadata of 1 in 7",
                Page::Threads(with(json!({ "seventh": 3 })), 50),
            ),
            (
                "threads: 50 by metadata of all",
                Page::Threads(with(json!({ "made": true })), 50),
            ),
            (
                "threads: 50 by the state of 1 in 10",
                Page::Threads(all().state_contains(waiting()), 50),
            ),
            (
                "threads: 1 by its metadata and its state",
                Page::Threads(with(json!({ "n": 10 })).state_contains(waiting()), 1),
            ),
            (
                "list without a thread: 64",
                Page::Checkpoints(List::all().limit(64), 64),
            ),
            (
                "list without a thread: 64 before one",
                Page::Checkpoints(List::all().limit(64).before(before), 64),
            ),
            (
                "list without a thread: those of a run",
                Page::Checkpoints(of(json!({ "run_id": "run 77" })), 5),
            ),
            (
                "list without a thread: 64 by metadata of all",
                Page::Checkpoints(of(json!({ "source": "loop" })), 64),
            ),
            (
                "list without a thread: 64 by metadata of 1 in 7",
                Page::Checkpoints(of(json!({ "seventh": 3 })), 64),
            ),
        ])
    }

    /// A thread that half of the others changed after.
    async fn thread_in_the_middle(&mut self, threads: usize) -> anyhow::Result<ThreadInfo> {
        let filter = object(json!({ "n": threads / 2 }));
        let found = self.checkpointer.threads(ListThreads::all().filter(filter));
        let found: Vec<ThreadInfo> = found.try_collect().await?;
        found.into_iter().next().context("it is there")
    }

    /// Asks for a page, prints what it took if it has a title, and returns that in seconds.
    async fn run(&mut self, title: Option<&str>, page: &Page) -> anyhow::Result<f64> {
        let checkpointer = self.checkpointer.clone();
        let ask = async {
            Ok::<_, Error>(match page {
                Page::Threads(query, least) => {
                    let found = checkpointer.threads(query.clone());
                    found.try_collect::<Vec<_>>().await?.len() >= *least
                }
                Page::Checkpoints(query, least) => {
                    let found = checkpointer.list(query.clone());
                    found.try_collect::<Vec<_>>().await?.len() >= *least
                }
            })
        };
        let started = Instant::now();
        let is_whole = match title {
            Some(title) => self.measure(title, ask).await?,
            None => ask.await?,
        };
        let seconds = started.elapsed().as_secs_f64();
        self.expect(is_whole, "a page is whole");
        Ok(seconds)
    }

    async fn whole_lists(&mut self, threads: usize) -> anyhow::Result<()> {
        let checkpointer = self.checkpointer.clone();
        let since = SystemTime::now();
        for (what, query) in [
            ("  threads: all of them", ListThreads::all()),
            (
                "  threads: all of them, the oldest first",
                ListThreads::all().oldest_first(),
            ),
        ] {
            let count = checkpointer.threads(query.changed_before(since));
            let count = count.try_fold(0, async |count, _| Ok(count + 1));
            let found: usize = self.works(what, count).await?;
            self.expect(found >= threads, what);
        }
        let run = ["run 78".to_owned()];
        let removed = self.works(
            "  delete_for_runs: a run of one thread",
            checkpointer.delete_for_runs(&run),
        );
        let removed = removed.await?;
        self.expect(removed.checkpoints == 5, "a run is deleted");
        Ok(removed.complete()?)
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// Threads that changed one a second, as a client stores them. The indexes are made anew behind them,
/// which takes a part of the time.
const THREADS: &str = "
CREATE TEMPORARY TABLE kept AS
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made
FROM pg_index WHERE NOT indisprimary AND indrelid IN (
    SELECT oid FROM pg_class WHERE relnamespace = 'checkpointer'::regnamespace);
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT kept.name FROM kept LOOP EXECUTE 'DROP INDEX ' || name; END LOOP;
END $$;
INSERT INTO checkpointer.threads (thread_id, metadata, created_at, has_head)
SELECT 'thread ' || n,
    jsonb_build_object('n', n, 'seventh', n % 7, 'rare', n % 5000, 'made', true),
    now() - n * interval '1 s', true
FROM generate_series({first}, {last}) AS n;
INSERT INTO checkpointer.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
SELECT 'thread ' || n, '', 'made-' || lpad((n * 5 + 4)::text, 12, '0'), 5, now() - n * interval '1 s'
FROM generate_series({first}, {last}) AS n;
INSERT INTO checkpointer.checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id,
    seq, checkpoint, channels, metadata)
SELECT 'thread ' || n, '', 'made-' || lpad((n * 5 + step)::text, 12, '0'),
    CASE WHEN step > 0 THEN 'made-' || lpad((n * 5 + step - 1)::text, 12, '0') END, step + 1,
    '{\"format\": 1, \"v\": 4, \"ts\": \"2026-01-01T00:00:00+00:00\", \"channel_versions\": {\"waits_for\": 1}, \"versions_seen\": {}}',
    jsonb_build_object('waits_for', jsonb_build_array(
        CASE WHEN n % 10 = 0 THEN 'approval' ELSE 'nothing' END)),
    jsonb_build_object('source', 'loop', 'step', step, 'run_id', 'run ' || n, 'seventh', n % 7)
FROM generate_series({first}, {last}) AS n, generate_series(0, 4) AS step;
DO $$ DECLARE made text; BEGIN
    FOR made IN SELECT kept.made FROM kept LOOP EXECUTE made; END LOOP;
END $$;
DROP TABLE kept;
ANALYZE";

//! Verifying what is stored of threads.
//!
//! Everything is read once, in pages, each by a statement that sees one moment. What a page compares
//! is compared within that statement, so that a writer in between makes no finding. Chunks come
//! first: each is checked against its hash by itself, and what is remembered of it says whether it
//! is what a reference takes it for. So a value that many checkpoints share isn't put together for
//! each. A checkpoint about which that leaves a doubt is read as by a program that has read none before.

mod chunks;
mod heads;
mod leaf;
mod repair;
mod rows;
mod shapes;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use db::Row;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::decode;
use super::engine::Engine;
use super::sql::{OneThread, PageSize, Silence, ThreadsPage, micros};
use super::sweep::CUT_SHORT_AFTER;
use super::wire::Jsonb;
use crate::removed::is_about_the_thread;
use crate::{Error, Finding, FindingKind, Removed, Result, ThreadId, VerifiedThread, Verify};
use shapes::Shapes;

/// What the calls are named in errors.
const OPERATION: &str = "verify a thread";

/// How many ids of threads a page has.
const THREADS_AT_ONCE: i64 = 1_000;

/// How much a page of rows has at most.
const PAGE: PageSize = PageSize {
    rows: 1_000,
    bytes: 1 << 20,
};

/// Threads that are to be verified.
struct Threads {
    engine: Arc<Engine>,
    repair: bool,
    /// The next ones.
    next: VecDeque<ThreadId>,
    /// After which id further ones are looked for; none if there are no more.
    after: Option<String>,
}

/// A thread's own row, and which tables have others of it.
struct Stand {
    there: bool,
    deleted: bool,
    /// Whether it has yet to be swept.
    unswept: bool,
    /// Whether no removal is about to.
    left_unswept: bool,
    has_head: bool,
    /// Why its own row can't be right, if it can't.
    unreadable: Option<String>,
    /// The tables that have rows of it.
    tables: Vec<&'static str>,
}

/// A thread under way.
struct Verifying<'a> {
    engine: &'a Arc<Engine>,
    thread: VerifiedThread,
    shapes: Shapes,
    repair: bool,
    /// What was repaired: each kind once, wherever it is found.
    repaired: HashSet<FindingKind>,
    /// Whether something was found that only takes room.
    has_garbage: bool,
}

/// Verifies threads one after the other; a connection is held only while a page is fetched.
pub(super) fn threads(
    engine: Arc<Engine>,
    verify: Verify,
) -> BoxStream<'static, Result<VerifiedThread>> {
    let after = verify.after.map(|after| after.as_str().to_owned());
    let threads = Threads {
        engine,
        repair: verify.repair,
        after: match &verify.thread_id {
            Some(_) => None,
            None => Some(after.unwrap_or_default()),
        },
        next: verify.thread_id.into_iter().collect(),
    };
    let threads = stream::try_unfold(threads, |mut threads| async move {
        let verified = threads.next().await?;
        Ok::<_, Error>(verified.map(|verified| (verified, threads)))
    });
    threads.boxed()
}

impl Threads {
    async fn next(&mut self) -> Result<Option<VerifiedThread>> {
        loop {
            let Some(thread_id) = self.next_id().await? else {
                return Ok(None);
            };
            let verified = self.engine.verify_thread(thread_id, self.repair).await?;
            if verified.is_some() {
                return Ok(verified);
            }
        }
    }

    async fn next_id(&mut self) -> Result<Option<ThreadId>> {
        if let (true, Some(after)) = (self.next.is_empty(), self.after.take()) {
            let _begun = self.engine.begin()?;
            let store = &self.engine.store;
            let page = ThreadsPage {
                after: &after,
                limit: THREADS_AT_ONCE,
            };
            let asked = store.sql.verify_threads.with(&page);
            let rows = store.query("find threads to verify", asked).await?;
            let ids = rows.iter().map(|row| row.get::<_, String>("thread_id"));
            self.next = ids.map(ThreadId::trusted).collect();
            let last = self.next.back();
            self.after = last.map(|last| last.as_str().to_owned());
        }
        Ok(self.next.pop_front())
    }
}

impl Engine {
    /// Verifies a thread; none if there is nothing of it, or it was deleted and nothing is left.
    async fn verify_thread(
        self: &Arc<Self>,
        thread_id: ThreadId,
        repair: bool,
    ) -> Result<Option<VerifiedThread>> {
        let mut verifying = Verifying {
            engine: self,
            thread: VerifiedThread::new(thread_id),
            shapes: Shapes::default(),
            repair,
            repaired: HashSet::new(),
            has_garbage: false,
        };
        let is_live = verifying.run().await?;
        let has_findings = !verifying.thread.findings.is_empty();
        Ok((is_live || has_findings).then_some(verifying.thread))
    }
}

impl Verifying<'_> {
    /// Verifies the thread, and says whether it is there.
    async fn run(&mut self) -> Result<bool> {
        let _begun = self.engine.begin()?;
        let mut stand = self.stand().await?;
        if !stand.there {
            if stand.tables.is_empty() {
                return Ok(false);
            }
            let what = format!("there are rows of it in {}", stand.tables.join(", "));
            self.found(Finding::new(FindingKind::ThreadMissing, what))
                .await?;
            if !self.repair {
                return Ok(false);
            }
            stand = self.stand().await?;
        }
        if stand.deleted {
            self.check_tombstone(stand).await?;
            return Ok(false);
        }
        self.check_own_row(&stand).await?;
        self.check_heads().await?;
        self.check_chunks().await?;
        self.check_checkpoints().await?;
        self.check_writes().await?;
        self.check_unneeded(&stand).await?;
        Ok(true)
    }

    async fn stand(&self) -> Result<Stand> {
        let (one, silence) = (self.one(), silence());
        let store = &self.engine.store;
        let asked = store.sql.verify_thread.with((&one, &silence));
        let row = store.query_opt(OPERATION, asked).await?;
        Ok(Stand::read(&self.thread.thread_id, row.as_ref()))
    }

    /// A deletion that goes on has noted that it does. One that was cut short has left chunks, which a repair
    /// removes.
    async fn check_tombstone(&mut self, mut stand: Stand) -> Result<()> {
        if self.repair && stand.left_unswept {
            let (thread_id, mut removed) = (&self.thread.thread_id, Removed::default());
            let swept = self.engine.sweep_deleted(thread_id, &mut removed).await;
            stand = self.stand().await?;
            match swept {
                Ok(()) => {}
                // Then what is left is what is found.
                Err(error) if is_about_the_thread(&error) => stand.unswept = false,
                Err(error) => return Err(error),
            }
        }
        if !stand.deleted || stand.tables.is_empty() || stand.unswept {
            return Ok(());
        }
        let what = format!("its deletion has left rows in {}", stand.tables.join(", "));
        self.found(Finding::new(FindingKind::RowsOfDeletedThread, what))
            .await
    }

    async fn check_own_row(&mut self, stand: &Stand) -> Result<()> {
        if let Some(what) = &stand.unreadable {
            self.found(Finding::new(FindingKind::ThreadUnreadable, what))
                .await?;
        }
        if stand.has_head && !stand.tables.contains(&"heads") {
            let what = "it has no head, and is listed as if it had one";
            self.found(Finding::new(FindingKind::ThreadUnlisted, what))
                .await?;
        }
        Ok(())
    }

    /// Takes a finding, and repairs it if that is asked for.
    async fn found(&mut self, mut finding: Finding) -> Result<()> {
        finding.repaired = self.repair && self.repaired(finding.kind).await?;
        self.add(finding);
        Ok(())
    }

    fn add(&mut self, finding: Finding) {
        self.has_garbage |= !finding.kind.is_damage();
        self.thread.add(finding);
    }

    fn one(&self) -> OneThread<'_> {
        OneThread {
            thread_id: self.thread.thread_id.as_str(),
        }
    }
}

impl Stand {
    fn read(thread_id: &ThreadId, row: Option<&Row>) -> Self {
        let is = |column| row.is_some_and(|row| row.get::<_, Option<bool>>(column) == Some(true));
        let there = is("there");
        let tables = [
            "heads",
            "checkpoints",
            "chunks",
            "pending_writes",
            "unswept",
        ];
        Self {
            there,
            deleted: is("deleted"),
            unswept: is("unswept"),
            left_unswept: is("left_unswept"),
            has_head: is("has_head"),
            unreadable: row
                .filter(|_| there)
                .and_then(|row| what_is_wrong(thread_id, row)),
            tables: tables.into_iter().filter(|table| is(table)).collect(),
        }
    }
}

fn silence() -> Silence {
    Silence {
        silent: micros(CUT_SHORT_AFTER),
    }
}

/// What can't be right about a thread's own row.
fn what_is_wrong(thread_id: &ThreadId, row: &Row) -> Option<String> {
    let (generation, gc): (i64, i64) = (row.get("generation"), row.get("gc"));
    if generation < 1 || gc < 0 {
        return Some(format!("its generation is {generation}, and its gc {gc}"));
    }
    let Jsonb(metadata) = row.get("metadata");
    match decode::object(thread_id, metadata, || "the thread's metadata".to_owned()) {
        Err(Error::Corrupt { what, .. }) => Some(what),
        _ => None,
    }
}

//! A page of threads.

use std::cmp::Reverse;
use std::time::SystemTime;

use askama::Template;
use checkpointer::{Checkpointer, ThreadInfo, ThreadSize};
use futures_util::TryStreamExt as _;

use super::super::about;
use super::super::app::App;
use super::super::links::Place;
use super::super::problem::Problem;
use super::super::shown;
use super::Search;

/// How many threads a page has, and among how many a search looks at once.
const PAGE: usize = 50;
const LOOKED_AT: usize = 5_000;

/// How many threads are measured for a page: of each, every row is read.
const MEASURED: usize = 100;

#[derive(Template)]
#[template(path = "threads-list.html")]
pub(super) struct Listed {
    threads: Vec<Thread>,
    /// How many threads the search has looked at.
    looked_at: usize,
    searched: bool,
    /// Whether they are by size.
    measured: bool,
    more: Option<String>,
}

struct Thread {
    place: Place,
    id: String,
    metadata: Vec<(String, String)>,
    size: Option<String>,
    created: String,
    updated: String,
    generation: i64,
}

/// What a search has found, and where it has ended.
#[derive(Default)]
struct Found {
    threads: Vec<ThreadInfo>,
    looked_at: usize,
    /// The last thread that was looked at, if there are more.
    last: Option<(String, SystemTime)>,
}

impl Listed {
    pub(super) async fn read(app: &App, search: &Search) -> Result<Self, Problem> {
        let turn = app.turn().await?;
        let found = Found::read(&*turn, search).await?;
        let more = found.last.as_ref();
        let more = more.map(|(id, updated)| search.link(id, micros(*updated)));
        let threads = match search.by_size() {
            true => largest(&*turn, &found.threads).await?,
            false => found.threads.iter().map(Thread::of).collect(),
        };
        Ok(Self {
            threads,
            looked_at: found.looked_at,
            searched: !search.q.is_empty(),
            measured: search.by_size(),
            more,
        })
    }
}

impl Found {
    async fn read(checkpointer: &dyn Checkpointer, search: &Search) -> Result<Self, Problem> {
        let page = if search.by_size() { MEASURED } else { PAGE };
        let most = if search.q.is_empty() { page } else { LOOKED_AT };
        let mut found = Self::default();
        let mut last = None;
        let mut threads = checkpointer.threads(search.query()?.limit(most + 1));
        while let Some(thread) = threads.try_next().await? {
            if found.looked_at == most || found.threads.len() == page {
                found.last = last;
                break;
            }
            found.looked_at += 1;
            last = Some((thread.thread_id.to_string(), thread.updated_at));
            if contains(thread.thread_id.as_str(), &search.q) {
                found.threads.push(thread);
            }
        }
        Ok(found)
    }
}

/// The threads with their sizes, the largest first. One that was deleted meanwhile is left out.
async fn largest(
    checkpointer: &dyn Checkpointer,
    threads: &[ThreadInfo],
) -> Result<Vec<Thread>, Problem> {
    let mut sizes: Vec<(&ThreadInfo, ThreadSize)> = Vec::new();
    for thread in threads {
        if let Some(size) = checkpointer.thread_size(&thread.thread_id).await? {
            sizes.push((thread, size));
        }
    }
    sizes.sort_by_key(|(_, size)| Reverse(size.bytes));
    let threads = sizes.into_iter().map(|(thread, size)| Thread {
        size: Some(shown::size(size.bytes as usize)),
        ..Thread::of(thread)
    });
    Ok(threads.collect())
}

fn contains(id: &str, searched: &str) -> bool {
    searched.is_empty() || id.to_lowercase().contains(&searched.to_lowercase())
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

impl Thread {
    fn of(thread: &ThreadInfo) -> Self {
        Self {
            place: Place {
                id: thread.thread_id.to_string(),
                ns: String::new(),
                at: String::new(),
            },
            id: shown::start(thread.thread_id.as_str(), 160),
            metadata: about::tags(thread),
            size: None,
            created: shown::moment(thread.created_at),
            updated: shown::moment(thread.updated_at),
            generation: thread.generation.0,
        }
    }
}

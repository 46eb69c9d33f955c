//! The list of threads: by their last change, with search and filters.

use std::sync::Arc;
use std::time::SystemTime;

use askama::Template;
use axum::extract::{OriginalUri, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{Html, IntoResponse, Response};
use checkpointer::{Generation, ListThreads, ThreadInfo};
use futures_util::TryStreamExt as _;
use serde::Deserialize;

use super::app::App;
use super::filter;
use super::links::{Place, link};
use super::problem::Problem;
use super::shown::{self, Frame};

/// How many threads a page has, and among how many a search looks at once.
const PAGE: usize = 50;
const LOOKED_AT: usize = 5_000;

/// What a person asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    /// What is part of the thread's id.
    q: String,
    /// What the thread's metadata contains.
    metadata: String,
    /// What its state contains.
    state: String,
    /// `oldest` for those that haven't changed for the longest time.
    order: String,
    /// Where the page before has ended: the last thread's id, and its last change in microseconds.
    after: String,
    changed: u64,
    /// What stands for the list that the browser has.
    seen: String,
}

#[derive(Template)]
#[template(path = "threads.html")]
struct Page {
    frame: Frame,
    search: Search,
    list: String,
    seen: String,
    poll: String,
}

#[derive(Template)]
#[template(path = "threads-list.html")]
struct Listed {
    threads: Vec<Thread>,
    /// How many threads the search has looked at.
    looked_at: usize,
    searched: bool,
    more: Option<String>,
    /// The page's key, if it may write.
    form_key: Option<String>,
}

struct Thread {
    place: Place,
    id: String,
    /// The metadata as it is changed, and as it is shown.
    written: String,
    metadata: Vec<(String, String)>,
    created: String,
    updated: String,
    generation: i64,
}

/// Leads to the list of threads.
pub(super) async fn enter(OriginalUri(original): OriginalUri) -> impl IntoResponse {
    let last = original.path().rsplit('/').next().unwrap_or_default();
    let to = match last {
        "" => "threads".to_owned(),
        last => format!("{last}/threads"),
    };
    (StatusCode::SEE_OTHER, [(LOCATION, to)])
}

/// The page with the list of threads. With `seen` it is only the list, if that has changed.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Query(search): Query<Search>,
) -> Result<Response, Problem> {
    let list = Listed::read(&app, &search).await?.render()?;
    let seen = blake3::hash(list.as_bytes()).to_hex()[..16].to_owned();
    if search.seen == seen {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if !search.seen.is_empty() {
        return Ok(([("x-seen", seen)], Html(list)).into_response());
    }
    let page = Page {
        frame: Frame::new("Threads"),
        poll: search.link("", 0),
        search,
        list,
        seen,
    };
    Ok(Html(page.render()?).into_response())
}

impl Search {
    fn oldest_first(&self) -> bool {
        self.order == "oldest"
    }

    fn query(&self) -> Result<ListThreads, Problem> {
        let mut query = ListThreads::all();
        query.filter = filter::parse(&self.metadata)?;
        query.state = filter::parse(&self.state)?;
        if self.oldest_first() {
            query = query.oldest_first();
        }
        if !self.after.is_empty() {
            query = query.after(self.last()?);
        }
        Ok(query)
    }

    /// The last thread of the page before, of which the list asks for id and time.
    fn last(&self) -> Result<ThreadInfo, Problem> {
        let changed = std::time::Duration::from_micros(self.changed);
        let changed = SystemTime::UNIX_EPOCH
            .checked_add(changed)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(ThreadInfo::new(&self.after, Generation(1), changed)?)
    }

    /// A link to the list with the same search, after a thread.
    fn link(&self, after: &str, changed: u64) -> String {
        let changed = match after {
            "" => String::new(),
            _ => changed.to_string(),
        };
        let parameters = [
            ("q", &*self.q),
            ("metadata", &*self.metadata),
            ("state", &*self.state),
            ("order", &*self.order),
            ("after", after),
            ("changed", &*changed),
        ];
        link("threads", &parameters)
    }
}

impl Listed {
    async fn read(app: &App, search: &Search) -> Result<Self, Problem> {
        let query = search.query()?;
        let searched = !search.q.is_empty();
        let most = if searched { LOOKED_AT } else { PAGE };
        let turn = app.turn().await?;
        let mut found: Vec<ThreadInfo> = Vec::new();
        let mut last = None;
        let mut looked_at = 0;
        let mut stream = turn.threads(query.limit(most + 1));
        let mut more = false;
        while let Some(thread) = stream.try_next().await? {
            if looked_at == most || found.len() == PAGE {
                more = true;
                break;
            }
            looked_at += 1;
            last = Some((thread.thread_id.clone(), thread.updated_at));
            if contains(thread.thread_id.as_str(), &search.q) {
                found.push(thread);
            }
        }
        let more = last.filter(|_| more);
        let more = more.map(|(id, updated)| search.link(id.as_str(), micros(updated)));
        Ok(Self {
            threads: found.iter().map(Thread::of).collect(),
            looked_at,
            searched,
            more,
            form_key: app
                .options
                .allow_writes
                .then(|| app.form_key.as_str().to_owned()),
        })
    }
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
        let place = Place {
            id: thread.thread_id.to_string(),
            ns: String::new(),
            at: String::new(),
        };
        let metadata = thread.metadata.iter().take(8).map(|(key, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (shown::start(key, 40), shown::start(&value, 60))
        });
        Self {
            place,
            written: shown::json(&thread.metadata),
            id: shown::start(thread.thread_id.as_str(), 160),
            metadata: metadata.collect(),
            created: shown::time(&rfc3339(thread.created_at)),
            updated: shown::time(&rfc3339(thread.updated_at)),
            generation: thread.generation.0,
        }
    }
}

/// A time of the database's clock; one that can't be written is the beginning of time.
fn rfc3339(time: SystemTime) -> String {
    let micros = micros(time).min(253_402_300_799_000_000);
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(micros);
    humantime::format_rfc3339_seconds(time).to_string()
}

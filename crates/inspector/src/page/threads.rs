//! The list of threads: by their last change or their size, with search and filters.

mod listed;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::{OriginalUri, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{Html, IntoResponse, Response};
use checkpointer::{Generation, ListThreads, ThreadInfo};
use serde::Deserialize;

use listed::Listed;

use super::app::App;
use super::filter;
use super::links::link;
use super::problem::Problem;
use super::shown::Frame;

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
    /// `oldest` for those that haven't changed for the longest time, `size` for the largest.
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
        // A page measures its threads once: it isn't refreshed.
        poll: match search.by_size() {
            true => String::new(),
            false => search.link(&search.after, search.changed),
        },
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

    fn by_size(&self) -> bool {
        self.order == "size"
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
        let changed = Duration::from_micros(self.changed);
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

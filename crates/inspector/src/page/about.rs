//! What is known of a thread: its metadata, its times, and what it takes where it is stored.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use checkpointer::serde_json::{self, Value};
use checkpointer::{ThreadInfo, ThreadSize};

use super::app::App;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Shown, show};
use crate::visible;

/// How many keys and channels are shown, and how many keys in a few words.
const MOST: usize = 200;
const TAGS: usize = 6;

/// How much of a value is shown in a few words, and the longest key and value that can be changed, in
/// characters.
const SHORT: usize = 60;
const LONG: usize = 2_000;

/// What is known of a thread.
#[derive(Template)]
#[template(path = "about.html")]
struct About {
    place: Place,
    members: Vec<Member>,
    /// How many keys aren't shown.
    left_out: usize,
    created: String,
    updated: String,
    generation: i64,
    /// The page's key, if it may write.
    form_key: Option<String>,
}

/// A key of the metadata, and its value.
struct Member {
    key: String,
    shown_key: String,
    value: String,
    /// The value as a person changes it, unless it or its key can't be part of a form.
    written: Option<String>,
}

/// What a thread takes.
#[derive(Template)]
#[template(path = "size.html")]
struct Size {
    total: String,
    counts: String,
    channels: Vec<Channel>,
    /// How many channels aren't shown.
    left_out: usize,
}

/// What a channel takes.
struct Channel {
    name: String,
    own: String,
    shared: String,
    chunks: u64,
    /// How much of the whole it is, in percent.
    share: u64,
}

/// The part of a thread's page that says what is known of it.
pub(super) async fn part(State(app): State<Arc<App>>, Query(place): Query<Place>) -> Shown {
    let turn = app.turn().await?;
    let thread = turn.thread_info(&place.thread_id()?).await?;
    let thread = thread.ok_or_else(|| Problem::not_found("there is no such thread"))?;
    let members = thread.metadata.iter().take(MOST);
    show(&About {
        place,
        members: members.map(|(key, value)| Member::of(key, value)).collect(),
        left_out: thread.metadata.len().saturating_sub(MOST),
        created: shown::moment(thread.created_at),
        updated: shown::moment(thread.updated_at),
        generation: thread.generation.0,
        form_key: app.form_key(),
    })
}

/// The part of a thread's page that says what it takes. Every row of the thread is read for it.
pub(super) async fn size(State(app): State<Arc<App>>, Query(place): Query<Place>) -> Shown {
    let turn = app.turn().await?;
    let size = turn.thread_size(&place.thread_id()?).await?;
    let size = size.ok_or_else(|| Problem::not_found("there is no such thread"))?;
    show(&Size::of(&size))
}

/// A thread's metadata in a few words: keys and the starts of their values.
pub(super) fn tags(thread: &ThreadInfo) -> Vec<(String, String)> {
    let members = thread.metadata.iter().take(TAGS);
    members
        .map(|(key, value)| (shown::start(key, 40), start(value, SHORT)))
        .collect()
}

impl Member {
    fn of(key: &str, value: &Value) -> Self {
        let is_long = |text: &str| text.char_indices().nth(LONG).is_some();
        // A form would change the ends of lines.
        let fits = !is_long(key) && !key.contains(['\r', '\n']);
        let written = fits.then(|| written(value));
        Self {
            key: key.to_owned(),
            shown_key: shown::start(key, 120),
            value: start(value, 400),
            written: written.filter(|written| !is_long(written)),
        }
    }
}

/// The start of a value, of a text without quotes.
fn start(value: &Value, characters: usize) -> String {
    match value {
        Value::String(text) => shown::start(text, characters),
        value => shown::start(&value.to_string(), characters),
    }
}

/// A value as a person writes it: a text as it is, unless it would be read as JSON, or wouldn't be seen.
fn written(value: &Value) -> String {
    match value {
        Value::String(text)
            if serde_json::from_str::<Value>(text).is_err()
                && matches!(visible(text), Cow::Borrowed(_)) =>
        {
            text.clone()
        }
        value => shown::json(value),
    }
}

impl Size {
    fn of(size: &ThreadSize) -> Self {
        let mut channels: Vec<_> = size.channels.iter().collect();
        channels.sort_by_key(|(_, size)| Reverse(size.own_bytes + size.shared_bytes));
        let channels = channels.into_iter().take(MOST).map(|(name, channel)| {
            let bytes = channel.own_bytes + channel.shared_bytes;
            Channel {
                name: shown::start(name, 120),
                own: shown::size(channel.own_bytes as usize),
                shared: shown::size(channel.shared_bytes as usize),
                chunks: channel.chunks,
                share: (bytes * 100 / size.bytes.max(1)).min(100),
            }
        });
        Self {
            total: shown::size(size.bytes as usize),
            counts: [
                (size.checkpoints, "checkpoint"),
                (size.pending_writes, "pending write"),
                (size.chunks, "chunk"),
            ]
            .map(|(number, one)| shown::count(number as usize, one))
            .join(", "),
            channels: channels.collect(),
            left_out: size.channels.len().saturating_sub(MOST),
        }
    }
}

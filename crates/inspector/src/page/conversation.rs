//! A channel of messages as a conversation.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use checkpointer::serde_json::{Map, Value};
use serde::Deserialize;

use super::app::App;
use super::document;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Shown, show};
use super::tree::{self, Tree};

/// How many messages are shown at once.
const PAGE: usize = 20;

/// How many calls of tools a message is shown with.
const CALLS: usize = 5;

/// How many arguments of a call are shown at once, unless they are small.
const FEW: usize = 5;

/// How much of a long message is shown, in characters.
const LONG: usize = 4_000;

/// The words that `LangChain` and the makers of models have for who speaks.
const ROLES: [(&str, &str); 11] = [
    ("human", "person"),
    ("user", "person"),
    ("ai", "model"),
    ("assistant", "model"),
    ("AIMessageChunk", "model"),
    ("tool", "tool"),
    ("function", "tool"),
    ("system", "system"),
    ("developer", "system"),
    ("chat", "other"),
    ("remove", "other"),
];

/// Some messages of a channel, the oldest first.
#[derive(Debug, Template)]
#[template(path = "conversation.html")]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    /// The link to earlier ones, and how many they are.
    pub(super) earlier: Option<(String, usize)>,
}

#[derive(Debug)]
pub(super) struct Message {
    number: usize,
    /// Who speaks, in the state's word and in the page's.
    role: String,
    kind: &'static str,
    name: String,
    text: String,
    /// The link to the whole of a text that is cut.
    whole: Option<String>,
    /// What else it holds: parts that aren't text, and calls of tools.
    calls: Vec<Call>,
    /// The link to all calls if they aren't all shown, and how many they are.
    all_calls: Option<(String, usize)>,
    parts: Tree,
}

#[derive(Debug)]
struct Call {
    name: String,
    arguments: Tree,
}

/// The messages that a request asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    path: String,
    before: usize,
}

/// Messages before those that are shown.
pub(super) async fn earlier(
    State(app): State<Arc<App>>,
    Query(place): Query<Place>,
    Query(Earlier { path, before }): Query<Earlier>,
) -> Shown {
    let turn = app.turn().await?;
    let tuple = document::read(&*turn, &place, document::projection(&path)).await?;
    let messages = document::find(&tuple, &path).and_then(Value::as_array);
    let messages =
        messages.ok_or_else(|| Problem::not_found("the checkpoint has no such messages"))?;
    show(&Conversation::of(messages, before, &place, &path))
}

/// The messages of a channel, if it has some: a list of objects that say who speaks.
pub(super) fn messages(value: &Value) -> Option<&Vec<Value>> {
    let messages = value.as_array()?;
    let speaks =
        |message: &Value| fields(message).is_some_and(|(fields, _)| role(fields).is_some());
    let (first, last) = (messages.first()?, messages.last()?);
    (speaks(first) && speaks(last)).then_some(messages)
}

impl Conversation {
    /// The last messages before the one at `before`.
    pub(super) fn of(messages: &[Value], before: usize, place: &Place, path: &str) -> Self {
        let end = before.min(messages.len());
        let start = end.saturating_sub(PAGE);
        let shown = messages.iter().enumerate().take(end).skip(start);
        let earlier = (start > 0).then(|| {
            let before = start.to_string();
            (
                place.link_with("messages", &[("path", path), ("before", &before)]),
                start,
            )
        });
        Self {
            messages: shown
                .map(|(at, message)| Message::of(at, message, place, path))
                .collect(),
            earlier,
        }
    }
}

impl Message {
    fn of(at: usize, message: &Value, place: &Place, path: &str) -> Self {
        let whole = tree::below(path, &at.to_string());
        let nothing = Map::new();
        let (fields, within) = fields(message).unwrap_or((&nothing, ""));
        let path = format!("{whole}{within}");
        let role = role(fields).unwrap_or("?");
        let content = text(fields.get("content"));
        let is_long = content.char_indices().nth(LONG).is_some();
        Self {
            number: at + 1,
            role: shown::start(role, 40),
            kind: kind(role).unwrap_or("other"),
            name: fields
                .get("name")
                .and_then(Value::as_str)
                .map_or_else(String::new, |name| shown::start(name, 80)),
            text: match is_long {
                true => shown::lines(&content.chars().take(LONG).collect::<String>()),
                false => shown::lines(&content),
            },
            whole: is_long.then(|| place.link_with("value", &[("path", &whole)])),
            all_calls: all_calls(fields, place, &path),
            calls: calls(fields, place, &path),
            parts: Tree::of_all(others(fields), place, &path),
        }
    }
}

/// The fields of a message, and where they are in it: `LangChain`'s own JSON has them under `kwargs`.
fn fields(message: &Value) -> Option<(&Map<String, Value>, &'static str)> {
    let fields = message.as_object()?;
    match fields.get("kwargs") {
        Some(Value::Object(inner)) if fields.contains_key("lc") => Some((inner, "/kwargs")),
        _ => Some((fields, "")),
    }
}

/// Who speaks. An object that doesn't say so, or has no content, is no message.
fn role(fields: &Map<String, Value>) -> Option<&str> {
    fields.get("content")?;
    let words = ["type", "role", "$message"].map(|key| fields.get(key).and_then(Value::as_str));
    words
        .into_iter()
        .flatten()
        .find(|word| kind(word).is_some())
}

fn kind(role: &str) -> Option<&'static str> {
    let known = ROLES.iter().find(|(word, _)| *word == role);
    known.map(|(_, kind)| *kind)
}

/// The text of a message: its content, or the texts among the parts of that.
fn text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(part_text)
            .collect::<Vec<_>>()
            .join("\n"),
        _ => String::new(),
    }
}

fn part_text(part: &Value) -> Option<&str> {
    part.as_str().or_else(|| part.get("text")?.as_str())
}

/// What a message holds that isn't shown in words: parts without text, and what its tool returned.
fn others(fields: &Map<String, Value>) -> Vec<(&'static str, &'static str, &Value)> {
    let has_other_parts = match fields.get("content") {
        Some(Value::Array(parts)) => parts.iter().any(|part| part_text(part).is_none()),
        Some(Value::String(_) | Value::Null) | None => false,
        Some(_) => true,
    };
    let keys = ["content", "artifact", "usage_metadata"];
    let keys = keys
        .into_iter()
        .filter(|key| *key != "content" || has_other_parts);
    let values =
        keys.filter_map(|key| Some((key, key, fields.get(key).filter(|value| !value.is_null())?)));
    values.collect()
}

fn calls(fields: &Map<String, Value>, place: &Place, path: &str) -> Vec<Call> {
    let calls = fields.get("tool_calls").and_then(Value::as_array);
    let path = tree::below(path, "tool_calls");
    let calls = calls.into_iter().flatten().enumerate().take(CALLS);
    calls
        .map(|(at, call)| Call::of(call, place, &tree::below(&path, &at.to_string())))
        .collect()
}

fn all_calls(fields: &Map<String, Value>, place: &Place, path: &str) -> Option<(String, usize)> {
    let number = fields.get("tool_calls")?.as_array()?.len();
    let path = tree::below(path, "tool_calls");
    (number > CALLS).then(|| (place.link_with("value", &[("path", &path)]), number))
}

impl Call {
    fn of(call: &Value, place: &Place, path: &str) -> Self {
        // The makers of models put name and arguments into a `function`.
        let (called, path) = match call.get("function") {
            Some(function) => (function, tree::below(path, "function")),
            None => (call, path.to_owned()),
        };
        let name = called.get("name").and_then(Value::as_str).unwrap_or("?");
        let key = ["args", "arguments"]
            .into_iter()
            .find(|key| called.get(*key).is_some());
        let arguments = key.map_or_else(Tree::default, |key| {
            let arguments = &called[key];
            match arguments {
                Value::Object(members)
                    if members.len() <= FEW || tree::bytes(arguments) <= tree::SMALL =>
                {
                    Tree::of(arguments, place, &tree::below(&path, key), 0)
                }
                other => Tree::of_all([(key, key, other)], place, &path),
            }
        });
        Self {
            name: shown::start(name, 80),
            arguments,
        }
    }
}

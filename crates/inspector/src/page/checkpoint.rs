//! A checkpoint: its questions, what changed, its conversation, its state, what its tasks have left, and
//! what is said about it.

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use checkpointer::serde_json::Value;
use checkpointer::{CheckpointTuple, Checkpointer, GetTuple, Projection};

use super::app::App;
use super::changes::Changes;
use super::channels;
use super::conversation::{Conversation, messages};
use super::document;
use super::facts::Facts;
use super::lanes::enclosing;
use super::links::Place;
use super::problem::Problem;
use super::shown::{self, Shown, show};
use super::tasks::Tasks;
use super::tree::{self, Tree};
use super::weight::{self, Heavy};
use crate::facts::changed_versions;

/// How many channels of messages are shown as conversations; only the first of them is open.
const CONVERSATIONS: usize = 20;

/// A checkpoint, as it is shown beside the list of all.
#[derive(Template)]
#[template(path = "checkpoint.html")]
pub(super) struct Shape {
    pub(super) place: Place,
    pub(super) facts: Facts,
    ns: String,
    pinned: bool,
    parent: Option<Place>,
    enclosing: Option<Place>,
    changes: Changes,
    conversations: Vec<Channel>,
    size: String,
    heavy: Vec<Heavy>,
    state: Tree,
    inner: Tree,
    of_tasks: Tasks,
    metadata: Tree,
    versions: Vec<(String, String)>,
    versions_left_out: usize,
    /// The page's key, and the head that a fork takes the place of, if the page may write.
    writes: Option<(String, String)>,
}

/// A channel of messages.
struct Channel {
    name: String,
    number: String,
    /// The link to the conversation, unless it is here.
    link: String,
    conversation: Option<Conversation>,
}

/// The part of a thread's page that shows a checkpoint.
pub(super) async fn part(State(app): State<Arc<App>>, Query(place): Query<Place>) -> Shown {
    show(&read(&app, &place).await?)
}

/// Reads a checkpoint as a page shows it.
pub(super) async fn read(app: &App, place: &Place) -> Result<Shape, Problem> {
    let turn = app.turn().await?;
    let tuple = document::read(&*turn, place, Projection::All).await?;
    let parent = read_parent(&*turn, &tuple).await?;
    let writes = match app.options.allow_writes {
        true => Some((app.form_key.as_str().to_owned(), head(&*turn, place).await?)),
        false => None,
    };
    let shape = turn.compute(move || Shape::of(&tuple, parent.as_ref(), writes));
    shape.await
}

/// The head of the namespace.
async fn head(checkpointer: &dyn Checkpointer, place: &Place) -> Result<String, Problem> {
    let head = Place {
        at: String::new(),
        ..place.clone()
    };
    let head = document::read(checkpointer, &head, Projection::Metadata).await?;
    Ok(head.address.checkpoint_id.to_string())
}

/// Reads of the parent what differs: the versions first, and then the values that have another one.
async fn read_parent(
    checkpointer: &dyn Checkpointer,
    tuple: &CheckpointTuple,
) -> Result<Option<CheckpointTuple>, Problem> {
    let Some(address) = &tuple.parent_address else {
        return Ok(None);
    };
    let versions = Projection::channels(Vec::<String>::new());
    let Some(parent) = checkpointer
        .get_tuple(GetTuple::at(address).project(versions))
        .await?
    else {
        return Ok(None);
    };
    let changed: Vec<_> = changed_versions(&tuple.checkpoint, &parent.checkpoint)
        .cloned()
        .collect();
    let values = GetTuple::at(address).project(Projection::Channels(changed));
    Ok(checkpointer.get_tuple(values).await?)
}

impl Shape {
    fn of(
        tuple: &CheckpointTuple,
        parent: Option<&CheckpointTuple>,
        writes: Option<(String, String)>,
    ) -> Self {
        let place = Place::of(&tuple.address);
        let size = channels::bytes(tuple);
        let metadata = tuple.metadata.as_map();
        let versions = versions(tuple);
        Self {
            facts: Facts::of(tuple, parent),
            ns: shown::start(&place.ns, 120),
            pinned: tuple.pinned,
            parent: parent.map(|parent| Place::of(&parent.address)),
            enclosing: enclosing(tuple).map(|(ns, id)| Place {
                id: place.id.clone(),
                ns: ns.to_owned(),
                at: id.to_owned(),
            }),
            changes: parent.map_or_else(Changes::default, |parent| changes(parent, tuple)),
            conversations: conversations(tuple, &place),
            size: shown::size(size),
            heavy: weight::heavy(&tuple.checkpoint.channel_values, size),
            state: channels::page(tuple, channels::STATE, size, 0, &place),
            inner: channels::page(tuple, channels::INNER, size, 0, &place),
            of_tasks: Tasks::of(tuple, &place),
            metadata: Tree::members(metadata, 0, &place, "/metadata"),
            versions_left_out: tuple.checkpoint.channel_versions.len() - versions.len(),
            versions,
            writes,
            place,
        }
    }
}

/// The difference to the parent, of the channels whose versions differ.
fn changes(parent: &CheckpointTuple, tuple: &CheckpointTuple) -> Changes {
    let changed: HashSet<_> = changed_versions(&tuple.checkpoint, &parent.checkpoint).collect();
    let mut after = tuple.checkpoint.channel_values.clone();
    after.retain(|channel, _| changed.contains(&channel));
    Changes::between(&parent.checkpoint.channel_values, &after)
}

fn conversations(tuple: &CheckpointTuple, place: &Place) -> Vec<Channel> {
    let channels = tuple.checkpoint.channel_values.iter();
    let channels = channels.filter_map(|(name, value)| Some((name, messages(value)?)));
    let shown = channels.take(CONVERSATIONS).enumerate();
    let channel = |(at, (name, messages)): (usize, (&String, &Vec<Value>))| {
        let path = tree::below(channels::STATE, name);
        let number = messages.len();
        let before = number.to_string();
        Channel {
            name: shown::start(name, 80),
            number: shown::count(number, "message"),
            link: place.link_with("messages", &[("path", &path), ("before", &before)]),
            conversation: (at == 0).then(|| Conversation::of(messages, number, place, &path)),
        }
    };
    shown.map(channel).collect()
}

/// The first versions of channels.
fn versions(tuple: &CheckpointTuple) -> Vec<(String, String)> {
    let versions = tuple.checkpoint.channel_versions.iter();
    let shown = |(channel, version): (&String, &checkpointer::Version)| {
        (
            shown::start(channel, 80),
            shown::start(&version.to_string(), 80),
        )
    };
    versions.take(tree::PAGE).map(shown).collect()
}

//! Storing a checkpoint.

use db::{GenericClient, Row, SqlState, Statement, ToSql};

use super::cache::View;
use super::encode::{Encoder, NewChunk};
use super::engine::Engine;
use super::jsonb::Jsonb;
use super::lanes::{Sent, Why, Write};
use super::look::Seen;
use super::memo::Cuts;
use super::refusal::{MAX_ROUNDS, busy, deleted};
use super::sql::Writing;
use super::store::Store;
use crate::codec::ContentHash;
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, Error, ExpectedHead, Generation, Put, Result,
    ThreadId, check,
};

/// A put, encoded for one state of its thread.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) thread_id: ThreadId,
    pub(super) checkpoint_ns: CheckpointNs,
    pub(super) checkpoint_id: CheckpointId,
    pub(super) parent: Option<CheckpointId>,
    pub(super) lock: Lock,
    pub(super) expected: ExpectedHead,
    /// It is taken to be new, and its namespace to have a head.
    next: bool,
    pub(super) required: Option<(CheckpointNs, String)>,
    pub(super) hashes: Vec<ContentHash>,
    pub(super) chunks: Vec<NewChunk>,
    pub(super) checkpoint: Vec<u8>,
    pub(super) channels: Vec<u8>,
    pub(super) unchanged: Vec<u8>,
    pub(super) metadata: Vec<u8>,
}

/// How a write locks its thread.
#[derive(Debug)]
pub(super) enum Lock {
    /// It must be as it was when it was last seen, with these chunks.
    Known {
        view: View,
        relied: Vec<ContentHash>,
        lease: Option<String>,
    },
    /// It may be any, or none.
    Any {
        restarted: bool,
        restart: bool,
        lease: Option<String>,
    },
}

impl Lock {
    /// The statement for this lock, and its first parameters.
    pub(super) fn statement<'a>(&self, writing: &'a Writing) -> &'a Statement {
        match self {
            Self::Known { .. } => &writing.known,
            Self::Any { lease: None, .. } => &writing.any,
            Self::Any { lease: Some(_), .. } => &writing.leased,
        }
    }

    /// The parameters of the lock.
    pub(super) fn parameters(&self, thread_id: &ThreadId) -> Vec<Box<dyn ToSql + Sync + Send>> {
        let thread_id = Box::new(thread_id.as_str().to_owned());
        match self {
            Self::Known {
                view,
                relied,
                lease,
            } => {
                let relied: Vec<Vec<u8>> =
                    relied.iter().map(|hash| hash.as_bytes().to_vec()).collect();
                vec![
                    thread_id,
                    Box::new(view.generation),
                    Box::new(view.gc),
                    Box::new(lease.clone()),
                    Box::new(relied),
                ]
            }
            Self::Any {
                restarted,
                restart,
                lease,
            } => {
                let mut parameters: Vec<Box<dyn ToSql + Sync + Send>> =
                    vec![thread_id, Box::new(*restarted), Box::new(*restart)];
                if let Some(lease) = lease {
                    parameters.push(Box::new(lease.clone()));
                }
                parameters
            }
        }
    }

    /// The state the thread must be in.
    pub(super) fn view(&self) -> Option<View> {
        match self {
            Self::Known { view, .. } => Some(*view),
            Self::Any { .. } => None,
        }
    }

    /// The lease that the write carries.
    pub(super) fn lease(&self) -> Option<&str> {
        match self {
            Self::Known { lease, .. } | Self::Any { lease, .. } => lease.as_deref(),
        }
    }

    /// The chunks relied on.
    pub(super) fn relied(&self) -> &[ContentHash] {
        match self {
            Self::Known { relied, .. } => relied,
            Self::Any { .. } => &[],
        }
    }
}

/// How a put goes on after a look at its thread.
enum Next {
    /// It is stored: by an attempt that seemed lost.
    Stored(View),
    /// It is sent, relying on the thread's state, or on nothing.
    Send(Option<View>),
}

impl Engine {
    pub(super) async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        check::put(&put)?;
        // Cut before the turn is waited for: this is the expensive part.
        let values = &put.checkpoint.channel_values;
        let cuts = self.memo.cut(put.thread_id, &put.checkpoint_ns, values);
        let mut turn = self.order.alone(put.thread_id).await;
        let mut view = self.known(put.thread_id, put.generation);
        let mut relies = view;
        let mut look_first = view.is_none() && needs_view(&put);
        for round in 0..MAX_ROUNDS {
            if look_first {
                match self.next(&put).await? {
                    Next::Stored(view) => return Ok(stored_as(&put, view)),
                    Next::Send(found) => (view, relies) = (found, None),
                }
            }
            let is_stored = self.is_stored(put.thread_id, relies);
            let encoded = encode(&put, &cuts, view, &is_stored, round == 0)?;
            turn = match self.lanes.send(Write::Put(encoded), turn).await? {
                Sent::Stored(view) => return Ok(stored_as(&put, view)),
                Sent::NotStored(Why::Foreign, _turn) => {
                    self.drop_writes(&put).await?;
                    return Err(deleted(put.thread_id));
                }
                Sent::NotStored(Why::NotTheHead | Why::Changed, turn) => turn,
            };
            look_first = true;
        }
        Err(busy(put.thread_id))
    }

    /// Looks at the thread, in a new statement, and decides.
    async fn next(&self, put: &Put<'_>) -> Result<Next> {
        let look = self
            .store
            .look(
                put.thread_id,
                &put.checkpoint_ns,
                &put.checkpoint.id,
                put.parent,
                put.lease,
            )
            .await?;
        match (next(put, look.thread), look.refusal) {
            // What was stored before the lease was lost is stored.
            (Err(_) | Ok(Next::Send(_)), Some(refusal)) => Err(refusal),
            (next, _) => next,
        }
    }

    /// The state that a thread is known to be in, if the caller may have read it in that state.
    pub(super) fn known(
        &self,
        thread_id: &ThreadId,
        generation: Option<Generation>,
    ) -> Option<View> {
        let view = self.store.cache.view(thread_id)?;
        let may_be = generation.is_none_or(|Generation(read)| view.generation == read);
        may_be.then_some(view)
    }

    /// Whether chunks are known to be stored in a thread; without a state to rely on none is.
    pub(super) fn is_stored(
        &self,
        thread_id: &ThreadId,
        view: Option<View>,
    ) -> impl Fn(&ContentHash) -> bool {
        move |hash| view.is_some_and(|view| self.store.cache.has(thread_id, view, hash))
    }

    /// Drops the writes to a checkpoint whose put is refused.
    async fn drop_writes(&self, put: &Put<'_>) -> Result<()> {
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* thread_id */ &put.thread_id.as_str(),
            /* ns */ &put.checkpoint_ns.as_str(),
            /* id */ &put.checkpoint.id.as_str(),
        ];
        let statement = &self.store.sql.drop_writes;
        self.store
            .execute("drop the writes of a refused put", statement, &parameters)
            .await
    }
}

impl Store {
    /// Sends a put as a statement of its own.
    pub(super) async fn send_put(&self, put: &Encoded) -> Result<Option<Row>> {
        let lock = put.lock.parameters(&put.thread_id);
        let (guarded, expected) = match &put.expected {
            ExpectedHead::Any => (false, None),
            ExpectedHead::Is(head) => (true, head.as_ref().map(CheckpointId::as_str)),
        };
        let ns = put.checkpoint_ns.as_str();
        let id = put.checkpoint_id.as_str();
        let parent = put.parent.as_ref().map(CheckpointId::as_str);
        let (required_ns, required_id) = put.required.as_ref().map_or((None, None), |(ns, id)| {
            (Some(ns.as_str()), Some(id.as_str()))
        });
        let (contents, refs) = columns(&put.chunks);
        let hashes: Vec<&[u8]> = put.hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
        let [checkpoint, channels, unchanged, metadata] = [
            &put.checkpoint,
            &put.channels,
            &put.unchanged,
            &put.metadata,
        ]
        .map(|json| Jsonb(json));
        let new: [&(dyn ToSql + Sync); 11] = [
            /* ns */ &ns,
            /* id */ &id,
            /* parent */ &parent,
            /* guarded */ &guarded,
            /* expected */ &expected,
            /* hashes */ &hashes,
            /* contents */ &contents,
            /* refs */ &refs,
            /* checkpoint */ &checkpoint,
            /* channels */ &channels,
            /* metadata */ &metadata,
        ];
        let any: [&(dyn ToSql + Sync); 3] = [
            /* unchanged */ &unchanged,
            /* required_ns */ &required_ns,
            /* required_id */ &required_id,
        ];
        let (statement, any) = if put.next {
            (&self.sql.put_next, &[][..])
        } else {
            (put.lock.statement(&self.sql.put), &any[..])
        };
        let rest = [&new, any].concat();
        let parameters = all(&lock, &rest);
        self.retry("put a checkpoint", || async {
            let connection = self.database.get().await?;
            match connection.query_opt(statement, &parameters).await {
                // It is stored already: as if its thread had changed.
                Err(error) if put.next && error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    Ok(None)
                }
                answer => answer,
            }
        })
        .await
    }
}

/// How a put goes on, by its thread.
fn next(put: &Put<'_>, seen: Option<Seen>) -> Result<Next> {
    let head = match &seen {
        Some(seen) if seen.deleted && !is_first(put) => return Err(deleted(put.thread_id)),
        Some(seen) if seen.deleted => return Ok(Next::Send(None)),
        Some(seen) => {
            let generation = Generation(seen.view.generation);
            if put.generation.is_some_and(|read| read != generation) {
                return Err(deleted(put.thread_id));
            }
            seen.head.as_ref()
        }
        None if put.generation.is_some() => return Err(deleted(put.thread_id)),
        None => None,
    };
    match &put.expected_head {
        ExpectedHead::Is(expected) if expected.as_ref() != head => match &seen {
            Some(seen) if seen.stored => Ok(Next::Stored(seen.view)),
            _ => Err(Error::Conflict {
                thread_id: put.thread_id.clone(),
                checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
                expected: expected.clone(),
                head: head.cloned(),
            }),
        },
        _ => {
            // Of a thread that was started afresh, the put itself asks for the parent.
            let is_asked = |seen: &Seen| seen.view.generation > 1 && put.generation.is_none();
            let inherits = seen
                .as_ref()
                .is_some_and(|seen| seen.inherits || is_asked(seen));
            check::parent(put, inherits)?;
            Ok(Next::Send(seen.map(|seen| seen.view)))
        }
    }
}

fn encode(
    put: &Put<'_>,
    cuts: &Cuts<'_>,
    view: Option<View>,
    is_stored: &dyn Fn(&ContentHash) -> bool,
    first_round: bool,
) -> Result<Encoded> {
    let mut encoder = Encoder::new(put.thread_id, is_stored);
    let channels = encoder.channels(&put.checkpoint.channel_values, cuts.iter())?;
    let versions = put.unchanged();
    let versions = versions.map(|(channel, version)| (channel.clone(), version.clone()));
    let versions = versions.collect();
    let checkpoint = encoder.checkpoint(put.checkpoint)?;
    let unchanged = encoder.versions(&versions)?;
    let metadata = encoder.object(put.metadata.as_map(), "the metadata")?;
    let required = match view {
        Some(view) if view.generation > 1 && put.generation.is_none() => required(put),
        _ => None,
    };
    let next = first_round
        && view.is_some()
        && put.parent.is_some()
        && !matches!(put.expected_head, ExpectedHead::Is(None))
        && required.is_none()
        && versions.is_empty();
    let lease = put.lease.map(|lease| lease.token.clone());
    let lock = match view {
        Some(view) => Lock::Known {
            view,
            relied: encoder.relied.iter().copied().collect(),
            lease,
        },
        None => Lock::Any {
            restarted: is_first(put),
            restart: is_first(put),
            lease,
        },
    };
    let (hashes, chunks) = encoder.chunks.into_iter().unzip();
    Ok(Encoded {
        thread_id: put.thread_id.clone(),
        checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
        checkpoint_id: put.checkpoint.id.clone(),
        parent: put.parent.cloned(),
        lock,
        expected: put.expected_head.clone(),
        next,
        required,
        hashes,
        chunks,
        checkpoint,
        channels,
        unchanged,
        metadata,
    })
}

/// The columns of new chunks.
pub(super) fn columns(chunks: &[NewChunk]) -> (Vec<Option<Jsonb<'_>>>, Vec<Option<&[u8]>>) {
    chunks
        .iter()
        .map(|chunk| (chunk.content.as_deref().map(Jsonb), chunk.refs.as_deref()))
        .unzip()
}

/// The parameters of a lock, then those of what is written under it.
pub(super) fn all<'a>(
    lock: &'a [Box<dyn ToSql + Sync + Send>],
    rest: &[&'a (dyn ToSql + Sync)],
) -> Vec<&'a (dyn ToSql + Sync)> {
    lock.iter()
        .map(|parameter| &**parameter as &(dyn ToSql + Sync))
        .chain(rest.iter().copied())
        .collect()
}

/// Whether the put starts a thread, afresh if it was deleted.
fn is_first(put: &Put<'_>) -> bool {
    put.parent.is_none()
        && put.checkpoint_ns.is_root()
        && put.generation.is_none()
        && !matches!(put.expected_head, ExpectedHead::Is(Some(_)))
}

/// Whether the put can't be sent without knowing its thread's state: it must not make the thread,
/// or takes values over from its parent.
fn needs_view(put: &Put<'_>) -> bool {
    put.generation.is_some()
        || matches!(put.expected_head, ExpectedHead::Is(Some(_)))
        || put.unchanged().next().is_some()
}

/// On a thread that was started afresh, the checkpoint that shows that a put without a generation
/// belongs to the new life: its parent, or the root of a subgraph's first one. If it names none, no
/// checkpoint will do.
fn required(put: &Put<'_>) -> Option<(CheckpointNs, String)> {
    let root = CheckpointNs::ROOT;
    match put.parent {
        Some(parent) => {
            let ns = put.checkpoint_ns.clone().into_owned();
            Some((ns, parent.as_str().to_owned()))
        }
        None if put.checkpoint_ns.is_root() => None,
        None => {
            let id = put.metadata.parent_in(root.as_str()).unwrap_or_default();
            Some((root, id.to_owned()))
        }
    }
}

fn stored_as(put: &Put<'_>, view: View) -> CheckpointAddress {
    CheckpointAddress {
        thread_id: put.thread_id.clone(),
        checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
        checkpoint_id: put.checkpoint.id.clone(),
        generation: Some(Generation(view.generation)),
    }
}

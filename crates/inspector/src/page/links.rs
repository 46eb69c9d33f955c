//! The page's links, all relative and with their parameters in the query: a name may hold anything.

use std::fmt::Write as _;

use checkpointer::{CheckpointAddress, CheckpointId, CheckpointNs, Error, ThreadId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::problem::Problem;
use super::shown;

/// Everything but letters, digits and what is plain in any part of a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Makes a link: a page and its parameters. Empty parameters are left out.
pub(super) fn link(page: &str, parameters: &[(&str, &str)]) -> String {
    let mut link = page.to_owned();
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    for (position, (name, value)) in given.enumerate() {
        link.push(if position == 0 { '?' } else { '&' });
        let value = utf8_percent_encode(value, ENCODED);
        // Writing to a string doesn't fail.
        let _ = write!(link, "{name}={value}");
    }
    link
}

/// How many bytes a value takes in a link.
pub(super) fn encoded_bytes(value: &str) -> usize {
    utf8_percent_encode(value, ENCODED).map(str::len).sum()
}

/// Takes a parameter out of a query: its value, and the query without it.
pub(super) fn take(query: &str, name: &str) -> (Option<String>, String) {
    let is_it = |pair: &&str| pair.split('=').next() == Some(name);
    let taken = query.split('&').find(is_it).map(|pair| {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        percent_decode_str(value).decode_utf8_lossy().into_owned()
    });
    let rest: Vec<_> = query.split('&').filter(|pair| !is_it(pair)).collect();
    (taken, rest.join("&"))
}

/// A thread, and perhaps one of its checkpoints, as a link names it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Place {
    /// The thread.
    pub(super) id: String,
    /// The namespace, empty for the root.
    #[serde(default)]
    pub(super) ns: String,
    /// The checkpoint; the head if it is empty.
    #[serde(default)]
    pub(super) at: String,
}

impl Place {
    pub(super) fn of(address: &CheckpointAddress) -> Self {
        Self {
            id: address.thread_id.to_string(),
            ns: address.checkpoint_ns.to_string(),
            at: address.checkpoint_id.to_string(),
        }
    }

    pub(super) fn thread_id(&self) -> Result<ThreadId, Problem> {
        ThreadId::new(&self.id).map_err(unknown)
    }

    pub(super) fn checkpoint_ns(&self) -> Result<CheckpointNs, Problem> {
        CheckpointNs::new(&self.ns).map_err(unknown)
    }

    /// The checkpoint, if the link names one.
    pub(super) fn checkpoint_id(&self) -> Result<Option<CheckpointId>, Problem> {
        if self.at.is_empty() {
            return Ok(None);
        }
        Ok(Some(CheckpointId::new(&self.at).map_err(unknown)?))
    }

    /// The thread itself.
    pub(super) fn thread(&self) -> Self {
        Self {
            id: self.id.clone(),
            ns: String::new(),
            at: String::new(),
        }
    }

    /// The checkpoint's id as it is shown.
    pub(super) fn shown_at(&self) -> String {
        shown::text(&self.at)
    }

    /// A link to `page` at this place.
    pub(super) fn link(&self, page: &str) -> String {
        self.link_with(page, &[])
    }

    /// A link to `page` at this place, with further parameters.
    pub(super) fn link_with(&self, page: &str, more: &[(&str, &str)]) -> String {
        let place = [("id", &*self.id), ("ns", &*self.ns), ("at", &*self.at)];
        link(page, &[&place, more].concat())
    }
}

/// A name that can't be one is the name of nothing.
fn unknown(error: Error) -> Problem {
    Problem::not_found(error.to_string())
}

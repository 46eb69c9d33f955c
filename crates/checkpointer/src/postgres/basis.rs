//! What a write stands on: what is known of its thread when it is encoded.

use super::engine::Engine;
use super::outgoing::{Generations, Lock};
use super::store::Store;
use super::view::View;
use crate::codec::ContentHash;
use crate::{Generation, ThreadId};

/// What is known of the thread of a write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Basis {
    /// The state that this program saw last: the write relies on the chunks that it saw, too.
    Remembered(View),
    /// The state that a look has just shown: the write relies on no chunk.
    Looked {
        view: View,
        /// The write was sent before, and wasn't stored.
        again: bool,
    },
    /// Nothing: there is no such thread, or the write doesn't need to know it.
    Nothing,
}

impl Basis {
    /// What a look has shown, before the write is sent for the first time or `again`.
    pub(super) fn looked(view: Option<View>, again: bool) -> Self {
        match view {
            Some(view) => Self::Looked { view, again },
            None => Self::Nothing,
        }
    }

    /// The state of the thread, if it is known.
    pub(super) fn view(self) -> Option<View> {
        match self {
            Self::Remembered(view) | Self::Looked { view, .. } => Some(view),
            Self::Nothing => None,
        }
    }

    /// How a write on this basis locks its thread: one that knows nothing of it goes into these
    /// generations.
    pub(super) fn lock(self, generations: Generations) -> Lock {
        self.view().map_or(Lock::Any(generations), Lock::Known)
    }

    /// Whether a chunk of the thread is taken to be stored.
    pub(super) fn has(self, store: &Store, thread_id: &ThreadId, hash: &ContentHash) -> bool {
        match self {
            Self::Remembered(view) => store.chunks.has(thread_id, view, hash),
            Self::Looked { .. } | Self::Nothing => false,
        }
    }
}

impl Engine {
    /// What is remembered of a thread, if the caller may have read it in that state.
    pub(super) fn remembered(
        &self,
        thread_id: &ThreadId,
        generation: Option<Generation>,
    ) -> Option<Basis> {
        let view = self.store.chunks.view(thread_id)?;
        let may_be = generation.is_none_or(|Generation(read)| view.generation == read);
        may_be.then_some(Basis::Remembered(view))
    }
}

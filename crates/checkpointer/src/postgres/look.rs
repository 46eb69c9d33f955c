//! Looking at a thread.

use db::Row;

use super::Inner;
use super::cache::View;
use super::retry::retry;
use crate::{CheckpointId, CheckpointNs, Result, ThreadId};

/// What a thread looks like from one of its namespaces.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) view: View,
    pub(super) deleted: bool,
    pub(super) head: Option<CheckpointId>,
    /// The checkpoint asked for is stored, under the parent asked for.
    pub(super) stored: bool,
}

impl Inner {
    /// Reads the state of a thread as of now, and remembers it.
    pub(super) async fn look(
        &self,
        thread_id: &ThreadId,
        checkpoint_ns: &CheckpointNs,
        checkpoint_id: &CheckpointId,
        parent: Option<&CheckpointId>,
    ) -> Result<Option<Look>> {
        let row = retry("look at the thread", || async {
            let connection = self.database.get().await?;
            connection
                .query_opt(
                    &self.sql.look,
                    &[
                        /* thread_id */ &thread_id.as_str(),
                        /* ns */ &checkpoint_ns.as_str(),
                        /* id */ &checkpoint_id.as_str(),
                        /* parent */ &parent.map(CheckpointId::as_str),
                    ],
                )
                .await
        })
        .await?;
        self.cache.forget(thread_id);
        let Some(row) = row else { return Ok(None) };
        let look = Look::read(&row);
        if !look.deleted {
            self.cache.note(thread_id, look.view, std::iter::empty());
        }
        Ok(Some(look))
    }
}

impl Look {
    fn read(row: &Row) -> Self {
        Self {
            view: View {
                generation: row.get("generation"),
                gc: row.get("gc"),
            },
            deleted: row.get("deleted"),
            head: row
                .get::<_, Option<String>>("head")
                .map(CheckpointId::trusted),
            stored: row.get("stored"),
        }
    }
}

//! Which checkpoint a command is about.

use checkpointer::futures_util::TryStreamExt;
use checkpointer::{
    CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer, GetTuple, List, Projection, ThreadId,
};

use super::exit::Failure;

/// What names a checkpoint on the command line, below its thread and namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// The head, or so many steps before it.
    Head(usize),
    /// An id, or the beginning or end of one.
    Id(String),
}

impl At {
    /// Reads `head`, `head~3`, or an id.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("head") else {
            return Ok(Self::Id(text.to_owned()));
        };
        match rest.strip_prefix('~') {
            None if rest.is_empty() => Ok(Self::Head(0)),
            None => Ok(Self::Id(text.to_owned())),
            Some("") => Ok(Self::Head(1)),
            Some(steps) => (steps.parse().map(Self::Head))
                .map_err(|_| "after `head~` comes how many steps before the head".to_owned()),
        }
    }
}

/// A thread and a namespace.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// The thread
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    pub(crate) thread: ThreadId,
    /// The namespace of a subgraph; the root graph's if there is none
    #[arg(long = "ns", value_name = "NAMESPACE", default_value = "", hide_default_value = true,
        value_parser = |text: &str| CheckpointNs::new(text))]
    pub(crate) checkpoint_ns: CheckpointNs,
}

impl Place {
    /// Reads a checkpoint.
    pub(crate) async fn read(
        &self,
        checkpointer: &dyn Checkpointer,
        at: &At,
        projection: Projection,
    ) -> anyhow::Result<CheckpointTuple> {
        let mut query = GetTuple::head(&self.thread)?.in_ns(&self.checkpoint_ns);
        if let At::Id(text) = at {
            query = query.checkpoint_id(self.find(checkpointer, text).await?);
        }
        let At::Head(steps @ 1..) = *at else {
            let tuple = checkpointer.get_tuple(query.project(projection)).await?;
            return tuple.ok_or_else(|| self.not_found());
        };
        let mut tuple = checkpointer
            .get_tuple(query.project(Projection::Metadata))
            .await?;
        for _ in 1..steps {
            // Before the first checkpoint there is none, however many steps are asked for.
            if tuple.is_none() {
                break;
            }
            tuple = self
                .parent(checkpointer, tuple, Projection::Metadata)
                .await?;
        }
        let tuple = self.parent(checkpointer, tuple, projection).await?;
        tuple.ok_or_else(|| {
            Failure::not_found(format!(
                "{} has fewer than {steps} checkpoints before its head",
                self.name()
            ))
        })
    }

    async fn parent(
        &self,
        checkpointer: &dyn Checkpointer,
        tuple: Option<CheckpointTuple>,
        projection: Projection,
    ) -> anyhow::Result<Option<CheckpointTuple>> {
        let parent = tuple.and_then(|tuple| tuple.parent_address);
        let Some(parent) = parent else {
            return Ok(None);
        };
        Ok(checkpointer
            .get_tuple(GetTuple::at(&parent).project(projection))
            .await?)
    }

    /// Finds the id that is `text`, or else begins or ends with it.
    async fn find(
        &self,
        checkpointer: &dyn Checkpointer,
        text: &str,
    ) -> anyhow::Result<CheckpointId> {
        let id = CheckpointId::new(text)?;
        let list = List::thread(&self.thread)?
            .in_ns(&self.checkpoint_ns)
            .project(Projection::Metadata);
        if checkpointer
            .list(list.clone().checkpoint_id(&id))
            .try_next()
            .await?
            .is_some()
        {
            return Ok(id);
        }
        let mut found = Vec::new();
        let mut all = checkpointer.list(list);
        while let Some(tuple) = all.try_next().await? {
            let id = tuple.address.checkpoint_id;
            if id.as_str().starts_with(text) || id.as_str().ends_with(text) {
                found.push(id);
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::not_found(format!(
                "{} has no checkpoint `{text}`",
                self.name()
            ))),
            several => Err(Failure::usage(format!(
                "{several} checkpoints of {} begin or end with `{text}`: give more of the id",
                self.name()
            ))),
        }
    }

    /// What to say if there is nothing.
    pub(crate) fn not_found(&self) -> anyhow::Error {
        Failure::not_found(format!(
            "{} has no checkpoint (`checkpointer threads` lists the threads, `history` their namespaces)",
            self.name()
        ))
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> String {
        match self.checkpoint_ns.is_root() {
            true => format!("thread `{}`", self.thread),
            false => format!(
                "namespace `{}` of thread `{}`",
                self.checkpoint_ns, self.thread
            ),
        }
    }
}

//! Who is measured.

use std::sync::Arc;

use async_trait::async_trait;
use checkpointer::PostgresOptions;

use crate::ours::Keeping;
use crate::peer::Peer;
use crate::work::{Samples, Work};
use crate::{floor, ours, peer};

/// Something that keeps the memory of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// This workspace's checkpointer, as it comes: calls that wait share a transaction.
    Checkpointer,
    /// The same, each call in a transaction of its own.
    CheckpointerUnbatched,
    /// The same as it comes, told by each put what is new in the list of messages.
    CheckpointerAppends,
    /// A typed thread of it, with the messages in a `Vec`.
    CheckpointerTyped,
    /// A typed thread of it, with the messages in a `Log`.
    CheckpointerLog,
    /// One prepared statement per call, by primary key, on a bb8-postgres pool.
    Floor,
    /// LangGraph's saver from `PyPI`.
    LangGraph,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Checkpointer => "checkpointer",
            Self::CheckpointerUnbatched => "checkpointer-unbatched",
            Self::CheckpointerAppends => "checkpointer-appends",
            Self::CheckpointerTyped => "checkpointer-typed",
            Self::CheckpointerLog => "checkpointer-log",
            Self::Floor => "floor",
            Self::LangGraph => "langgraph-checkpoint-postgres",
        }
    }

    /// Whether it is a checkpointer of this workspace.
    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Self::Floor | Self::LangGraph)
    }

    /// Its tables that don't count as stored: pending writes, and what the floor reads.
    pub(crate) fn pending_tables(self) -> &'static [&'static str] {
        match self {
            Self::Floor => &["pending_writes", "states"],
            Self::LangGraph => &["checkpoint_writes"],
            _ => &["pending_writes"],
        }
    }

    /// Connects it, and makes its tables.
    pub(crate) async fn start(
        self,
        site: &Site,
        python: Option<&Peer>,
    ) -> anyhow::Result<Box<dyn Contender>> {
        Ok(match self {
            Self::Checkpointer => Box::new(ours::start(site, PostgresOptions::default()).await?),
            Self::CheckpointerUnbatched => {
                let options = PostgresOptions::default().shared_transactions(false);
                Box::new(ours::start(site, options).await?)
            }
            Self::CheckpointerAppends => keeping(site, Keeping::Appended).await?,
            Self::CheckpointerTyped => keeping(site, Keeping::Vec).await?,
            Self::CheckpointerLog => keeping(site, Keeping::Log).await?,
            Self::Floor => Box::new(floor::start(site).await?),
            Self::LangGraph => Box::new(peer::start(site, python).await?),
        })
    }
}

async fn keeping(site: &Site, keeping: Keeping) -> anyhow::Result<Box<dyn Contender>> {
    let ours = ours::start(site, PostgresOptions::default()).await?;
    Ok(Box::new(ours.keeping(keeping)))
}

/// Where a system works: an empty schema of its own.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) url: String,
    /// Also the application's name, which tells its connections from all others.
    pub(crate) schema: String,
    pub(crate) pool: u32,
    pub(crate) mode: settings::PoolMode,
    /// The statement that gives the stored bytes.
    pub(crate) weigh: String,
}

/// A system at work.
#[async_trait]
pub(crate) trait Contender: Send {
    /// Gets ready for some work: none of this is measured.
    async fn prepare(&mut self, work: &Arc<Work>) -> anyhow::Result<()>;

    /// Does the work it is ready for.
    async fn work(&mut self) -> anyhow::Result<Samples>;

    /// The process that the calls are made in.
    fn process(&self) -> u32 {
        std::process::id()
    }

    /// Closes its connections.
    async fn close(self: Box<Self>) -> anyhow::Result<()>;
}

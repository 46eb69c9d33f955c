//! Which threads a command is about.

use std::time::SystemTime;

use checkpointer::ListThreads;
use checkpointer::serde_json::{Map, Value};

use super::{json_arg, moment};

/// Which threads come first, by their last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// Those that changed last
    Newest,
    /// Those that haven't changed for the longest time
    Oldest,
}

/// Picks threads by what is known of them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Pick {
    /// Only threads with this in their thread metadata: `key=value`, or a JSON object
    #[arg(long = "metadata", value_name = "MEMBERS", value_parser = json_arg::members)]
    metadata: Vec<Map<String, Value>>,
    /// Only threads with this in their state: `channel=value`, or a JSON object. It reads the state of
    /// every thread that the other options leave
    #[arg(long = "state", value_name = "MEMBERS", value_parser = json_arg::members)]
    state: Vec<Map<String, Value>>,
    /// Only threads that changed later: an age such as `2h`, a day, or a time in RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    since: Option<SystemTime>,
    /// Only threads that haven't changed since: an age, a day, or a time
    #[arg(long, value_name = "WHEN", value_parser = moment::parse)]
    until: Option<SystemTime>,
}

impl Pick {
    /// The request for them, the one that changed last first.
    pub(crate) fn query(&self) -> anyhow::Result<ListThreads> {
        let mut query = ListThreads::all();
        query.filter = json_arg::joined("--metadata", &self.metadata)?;
        query.state = json_arg::joined("--state", &self.state)?;
        query.changed_after = self.since;
        query.changed_before = self.until;
        Ok(query)
    }

    /// The same in an order.
    pub(crate) fn sorted(&self, sort: Sort) -> anyhow::Result<ListThreads> {
        let query = self.query()?;
        Ok(match sort {
            Sort::Newest => query,
            Sort::Oldest => query.oldest_first(),
        })
    }
}

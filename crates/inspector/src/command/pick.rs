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
    pub(crate) fn query(&self) -> ListThreads {
        let mut query = ListThreads::all();
        query.filter = json_arg::joined(&self.metadata);
        query.state = json_arg::joined(&self.state);
        query.changed_after = self.since;
        query.changed_before = self.until;
        query
    }

    /// The same in an order.
    pub(crate) fn sorted(&self, sort: Sort) -> ListThreads {
        match sort {
            Sort::Newest => self.query(),
            Sort::Oldest => self.query().oldest_first(),
        }
    }
}

//! Where the official saver answers otherwise than the contract, and is meant to.
//!
//! In a call that mixes special and regular writes the official saver replaces nothing: a
//! `__resume__` written again keeps its first value. The contract replaces special writes in every
//! call. So both are followed here, and a recorded write that is what the official saver keeps is
//! expected to be what the contract keeps.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::compare::{Rule, difference};
use crate::trace::{Config, PutWrites};

const SPECIAL: [&str; 4] = ["__error__", "__scheduled__", "__interrupt__", "__resume__"];

/// The special writes of a replay, as the official saver and as the contract keeps them.
#[derive(Debug, Default)]
pub(crate) struct SpecialWrites {
    kept: HashMap<Address, Kept>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Address {
    thread_id: String,
    checkpoint_ns: String,
    checkpoint_id: String,
    task_id: String,
    channel: String,
}

#[derive(Debug)]
struct Kept {
    officially: Value,
    by_contract: Value,
}

impl Address {
    fn new(config: &Config, task_id: &str, channel: &str) -> Self {
        Self {
            thread_id: config.thread_id.clone(),
            checkpoint_ns: config.checkpoint_ns.clone().unwrap_or_default(),
            checkpoint_id: config.checkpoint_id.clone().unwrap_or_default(),
            task_id: task_id.to_owned(),
            channel: channel.to_owned(),
        }
    }
}

impl SpecialWrites {
    /// Follows a call.
    pub(crate) fn put(&mut self, put: &PutWrites) {
        let is_special = |channel: &str| SPECIAL.contains(&channel);
        let is_mixed = put.writes.iter().any(|(channel, _)| !is_special(channel));
        for (channel, value) in &put.writes {
            if !is_special(channel) {
                continue;
            }
            let address = Address::new(&put.config, &put.task_id, channel);
            let kept = self.kept.entry(address).or_insert_with(|| Kept {
                officially: value.clone(),
                by_contract: value.clone(),
            });
            kept.by_contract = value.clone();
            if !is_mixed {
                kept.officially = value.clone();
            }
        }
    }

    /// Forgets a thread that is deleted.
    pub(crate) fn delete_thread(&mut self, thread_id: &str) {
        self.kept
            .retain(|address, _| address.thread_id != thread_id);
    }

    /// Replaces, in a recorded tuple, what the official saver keeps by what the contract keeps;
    /// returns whether there was anything to replace.
    pub(crate) fn amend(&self, tuple: &mut Value) -> bool {
        let Ok(config) = Config::deserialize(&tuple["config"]) else {
            return false;
        };
        let writes = tuple.get_mut("pending_writes");
        let writes = writes.and_then(Value::as_array_mut);
        let mut amended = false;
        for write in writes.into_iter().flatten() {
            let parts = write.as_array_mut().map(Vec::as_mut_slice);
            let Some([Value::String(task_id), Value::String(channel), value]) = parts else {
                continue;
            };
            let address = Address::new(&config, task_id, channel);
            let Some(kept) = self.kept.get(&address) else {
                continue;
            };
            let is = |kept| difference(value, kept, Rule::Recorded).is_none();
            if is(&kept.officially) && !is(&kept.by_contract) {
                *value = kept.by_contract.clone();
                amended = true;
            }
        }
        amended
    }
}

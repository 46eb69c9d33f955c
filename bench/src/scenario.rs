//! What is measured.

use settings::PoolMode;

use crate::contender::System;
use crate::contender::System::{
    Checkpointer, CheckpointerAppends, CheckpointerLog, CheckpointerTyped, CheckpointerUnbatched,
    Floor, LangGraph,
};
use crate::work::GET_EVERY;

/// Some agents that work at once, and who keeps their memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) agents: usize,
    pub(crate) steps: usize,
    pub(crate) mode: PoolMode,
    /// Whether the agents read what they have put, every so often.
    pub(crate) reads: bool,
    pub(crate) systems: &'static [System],
    /// How often each system is measured at most.
    pub(crate) rounds: usize,
}

/// The systems of this workspace, next to the floor.
const OURS: &[System] = &[Checkpointer, CheckpointerUnbatched, Floor];

/// All systems.
const ALL: &[System] = &[Checkpointer, CheckpointerUnbatched, Floor, LangGraph];

/// The same with puts that append and with typed threads, which is something else where threads are
/// long.
const LONG: &[System] = &[
    Checkpointer,
    CheckpointerAppends,
    CheckpointerTyped,
    CheckpointerLog,
    CheckpointerUnbatched,
    Floor,
    LangGraph,
];

const ONE_AGENT: Scenario = Scenario {
    name: "one-agent",
    agents: 1,
    steps: 300,
    mode: PoolMode::Session,
    reads: true,
    systems: ALL,
    rounds: usize::MAX,
};

const TEN_THREADS: Scenario = Scenario {
    name: "ten-threads",
    agents: 10,
    steps: 1000,
    systems: &[Checkpointer, CheckpointerAppends],
    ..ONE_AGENT
};

/// What is measured by default.
pub(crate) const USUAL: &[Scenario] = &[
    ONE_AGENT,
    Scenario {
        name: "one-agent-transaction-mode",
        mode: PoolMode::Transaction,
        systems: OURS,
        ..ONE_AGENT
    },
    Scenario {
        name: "many-agents",
        agents: 64,
        steps: 30,
        ..ONE_AGENT
    },
    Scenario {
        name: "long-thread",
        steps: 1000,
        systems: LONG,
        ..ONE_AGENT
    },
    TEN_THREADS,
    // How a put grows where no read takes the processor from it.
    Scenario {
        name: "ten-threads-without-reads",
        reads: false,
        ..TEN_THREADS
    },
];

/// What takes long, and is measured once.
pub(crate) const LONGEST: Scenario = Scenario {
    name: "longest-thread",
    steps: 10_000,
    systems: &[
        Checkpointer,
        CheckpointerAppends,
        CheckpointerTyped,
        CheckpointerLog,
    ],
    rounds: 1,
    ..ONE_AGENT
};

/// The thread whose checkpoints are listed.
pub(crate) const LIST: Scenario = Scenario {
    name: "list",
    steps: 1000,
    systems: &[Checkpointer],
    rounds: 1,
    ..ONE_AGENT
};

/// The scenario of that name, but for the list.
pub(crate) fn named(name: &str) -> Option<Scenario> {
    let mut all = USUAL.iter().chain([&LONGEST]);
    all.find(|scenario| scenario.name == name).copied()
}

/// The numbers that the caller asked for, in place of the usual ones.
pub(crate) fn asked_for(agents: usize, steps: usize) -> Scenario {
    Scenario {
        name: "asked-for",
        agents,
        steps,
        systems: LONG,
        ..ONE_AGENT
    }
}

impl Scenario {
    /// After how many steps the stored bytes are looked at: fifty times in a thread.
    pub(crate) fn weigh_every(&self) -> Option<usize> {
        (self.agents == 1 && self.steps >= 100).then_some(self.steps / 50)
    }

    /// After how many steps the head is read.
    pub(crate) fn get_every(&self) -> Option<usize> {
        self.reads.then_some(GET_EVERY)
    }

    /// How many steps each agent makes before anything is measured: by then every statement is
    /// prepared on every connection, and was run the five times after which the server settles on
    /// a plan.
    pub(crate) fn warm_up_steps(&self, pool: u32) -> usize {
        (6 * GET_EVERY * pool as usize).div_ceil(self.agents)
    }
}

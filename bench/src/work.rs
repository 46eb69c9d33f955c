//! The workload: what each agent does, step by step.
//!
//! In each step two tasks store their outputs, of two channels each, and one checkpoint of four
//! channels follows, of which `messages` grows by one message. Every fifth step the head is read.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::text::Text;

/// After how many steps the head is read.
pub(crate) const GET_EVERY: usize = 5;

/// What all agents do in one run.
#[derive(Debug, Serialize)]
pub(crate) struct Work {
    /// What their threads' ids begin with.
    pub(crate) prefix: &'static str,
    /// The steps of each agent.
    pub(crate) agents: Vec<Vec<Step>>,
    /// After how many steps the head is read; never if there is none.
    pub(crate) get_every: Option<usize>,
    /// After how many steps the stored bytes are looked at; never if there is none.
    pub(crate) weigh_every: Option<usize>,
}

/// What is new in a step.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// The message that `messages` grows by: about 500 bytes.
    pub(crate) message: Value,
    /// The new value of `summary`: about 100 bytes.
    pub(crate) summary: String,
}

/// What was measured while the agents worked. Latencies are in milliseconds, in the order of the
/// steps for each agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Samples {
    /// How long all of it took, without the time to weigh.
    pub(crate) seconds: f64,
    pub(crate) put: Vec<Vec<f64>>,
    pub(crate) put_writes: Vec<Vec<f64>>,
    pub(crate) get: Vec<Vec<f64>>,
    /// The stored bytes after steps.
    pub(crate) weights: Vec<(usize, i64)>,
}

impl Work {
    /// Makes the same work for the same seed.
    pub(crate) fn new(
        text: &Text,
        seed: u64,
        prefix: &'static str,
        agents: usize,
        steps: usize,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut agent = || {
            (0..steps)
                .map(|step| Step::new(text, &mut rng, step))
                .collect()
        };
        Self {
            prefix,
            agents: (0..agents).map(|_| agent()).collect(),
            get_every: Some(GET_EVERY),
            weigh_every: None,
        }
    }

    pub(crate) fn thread_id(&self, agent: usize) -> String {
        format!("{}-{agent}", self.prefix)
    }

    /// How many steps all agents make together.
    pub(crate) fn steps(&self) -> usize {
        self.agents.iter().map(Vec::len).sum()
    }

    /// The bytes of everything that is put, each thing once.
    pub(crate) fn content_bytes(&self) -> usize {
        let steps = self.agents.iter().flatten();
        steps
            .map(|step| step.message.to_string().len() + step.summary.len())
            .sum()
    }
}

impl Step {
    fn new(text: &Text, rng: &mut Rng, step: usize) -> Self {
        let role = if step.is_multiple_of(2) {
            "user"
        } else {
            "assistant"
        };
        let bytes = rng.usize(250..600);
        Self {
            message: json!({
                "id": format!("{:032x}", rng.u128(..)),
                "role": role,
                "content": text.piece(rng, bytes),
            }),
            summary: text.piece(rng, 100).to_owned(),
        }
    }
}

//! What a person looks for in a thread.

use serde::Deserialize;

use super::problem::Problem;
use crate::HistoryFilter;

/// What a person looks for in a thread, as the form has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sought {
    pub(super) node: String,
    pub(super) source: String,
    pub(super) steps: String,
    pub(super) changed: String,
    pub(super) text: String,
    /// Anything stands for pinned ones only.
    pub(super) pinned: String,
}

impl Sought {
    pub(super) fn filter(&self) -> Result<HistoryFilter, Problem> {
        let given = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let steps = given(&self.steps).map(|steps| steps.parse());
        let steps = steps.transpose();
        Ok(HistoryFilter {
            node: given(&self.node),
            source: given(&self.source),
            steps: steps.map_err(|error: crate::MalformedSteps| {
                Problem::malformed(format!("step: {error}"))
            })?,
            changed: given(&self.changed),
            text: given(&self.text),
            pinned: !self.pinned.is_empty(),
        })
    }

    /// Whether every checkpoint is as it is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.parameters().iter().all(|(_, value)| value.is_empty())
    }

    /// The parameters of a link to the same.
    pub(super) fn parameters(&self) -> [(&str, &str); 6] {
        [
            ("node", &self.node),
            ("source", &self.source),
            ("steps", &self.steps),
            ("changed", &self.changed),
            ("text", &self.text),
            ("pinned", &self.pinned),
        ]
    }
}

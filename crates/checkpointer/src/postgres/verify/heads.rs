//! Verifying the heads of a thread.

use db::Row;

use super::{OPERATION, Verifying};
use crate::{CheckpointId, CheckpointNs, Finding, FindingKind, Result};

impl Verifying<'_> {
    pub(super) async fn check_heads(&mut self) -> Result<()> {
        let one = self.one();
        let store = &self.engine.store;
        let asked = store.sql.verify_heads.with(&one);
        for row in store.query(OPERATION, asked).await? {
            for finding in findings(&row) {
                self.found(finding).await?;
            }
        }
        Ok(())
    }
}

/// What is wrong with the head of a namespace.
fn findings(row: &Row) -> Vec<Finding> {
    let ns = CheckpointNs::trusted(row.get("checkpoint_ns"));
    let last_seq: Option<i64> = row.get("last_seq");
    let Some(head) = row.get::<_, Option<String>>("head") else {
        let what = format!("namespace `{ns}` has checkpoints and no head");
        return vec![Finding::new(FindingKind::HeadMissing, what).in_ns(ns)];
    };
    let of_head = |kind, what: String| {
        let finding = Finding::new(kind, what).in_ns(ns.clone());
        finding.of_checkpoint(CheckpointId::trusted(head.clone()))
    };
    let mut found = Vec::new();
    match row.get::<_, Option<i64>>("head_seq") {
        None => found.push(of_head(
            FindingKind::HeadWithoutCheckpoint,
            format!("the head of namespace `{ns}`, checkpoint `{head}`, is missing"),
        )),
        head_seq if head_seq < last_seq => found.push(of_head(
            FindingKind::HeadNotLast,
            format!("the head of namespace `{ns}`, checkpoint `{head}`, isn't the one put last"),
        )),
        Some(_) => {}
    }
    let seq: i64 = row.get("seq");
    if let Some(last_seq) = last_seq.filter(|last_seq| seq < *last_seq) {
        found.push(of_head(
            FindingKind::HeadCountTooLow,
            format!("namespace `{ns}` counts {seq} puts, and has had {last_seq}"),
        ));
    }
    found
}

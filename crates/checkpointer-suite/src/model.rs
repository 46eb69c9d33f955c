//! Operations at random: a checkpointer answers as
//! [`MemoryCheckpointer`](checkpointer::MemoryCheckpointer) does, and holds the same.

pub mod operations;

use checkpointer::Checkpointer;

/// How many operations a seed has.
const STEPS: usize = 400;

/// One of the seeds is new in each run: a failure names it.
pub async fn random_operations(checkpointer: &dyn Checkpointer) {
    for seed in [1, 2, fastrand::u64(..)] {
        operations::carry_out(checkpointer, seed, STEPS).await;
    }
}

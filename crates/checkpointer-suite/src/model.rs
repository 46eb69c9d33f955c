//! Operations at random: a checkpointer answers as
//! [`MemoryCheckpointer`](checkpointer::MemoryCheckpointer) does, and holds the same.

pub mod operations;

use checkpointer::Checkpointer;

/// How many operations a seed has.
const STEPS: usize = 400;

/// With the second one, a checkpoint is put again as its own parent. It must not be its own ancestor.
const SEEDS: [u64; 2] = [1, 1_871_846_382_022_371_148];

/// One of the seeds is new in each run: a failure names it.
pub async fn random_operations(checkpointer: &dyn Checkpointer) {
    for seed in SEEDS.into_iter().chain([fastrand::u64(..)]) {
        operations::carry_out(checkpointer, seed, STEPS).await;
    }
}

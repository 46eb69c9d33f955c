//! The threads that a command names.

use checkpointer::{Checkpointer, ThreadId, ThreadInfo};

use super::exit::Failure;

/// Finds the threads, each once. If one of them isn't there, it fails.
pub(crate) async fn find(
    checkpointer: &dyn Checkpointer,
    thread_ids: &[ThreadId],
) -> anyhow::Result<Vec<ThreadInfo>> {
    let mut found: Vec<ThreadInfo> = Vec::new();
    for thread_id in thread_ids {
        if found.iter().any(|found| found.thread_id == *thread_id) {
            continue;
        }
        let info = checkpointer.thread_info(thread_id).await?;
        let missing = || Failure::not_found(format!("there is no thread `{thread_id}`"));
        found.push(info.ok_or_else(missing)?);
    }
    Ok(found)
}

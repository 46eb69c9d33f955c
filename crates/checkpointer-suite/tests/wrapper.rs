//! The contract suite on a wrapper, which implements what it must and passes on the rest.

use std::sync::Arc;

use checkpointer::futures_util::stream::BoxStream;
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, GetTuple, List, ListThreads,
    MemoryCheckpointer, OpenTransaction, Put, PutWrites, Result, ThreadInfo, async_trait,
};
use checkpointer_suite::within::Transactions;

checkpointer_suite::contract_tests!(Wrapper(MemoryCheckpointer::new()));
checkpointer_suite::transaction_tests!(Wrapper(MemoryCheckpointer::new()));

#[derive(Debug)]
struct Wrapper(MemoryCheckpointer);

#[async_trait]
impl Checkpointer for Wrapper {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.0.put(put).await
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.0.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.0.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.0.list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.0.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.0.threads(query)
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.0)
    }
}

impl Transactions for Wrapper {
    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(Self(self.0.clone()))
    }

    async fn run<T>(&self, body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>) -> Result<T> {
        self.0.run(body).await
    }
}

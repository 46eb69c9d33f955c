//! The contract suite on the checkpointer in memory.

checkpointer_suite::contract_tests!(checkpointer::MemoryCheckpointer::new());
checkpointer_suite::transaction_tests!(checkpointer::MemoryCheckpointer::new());

mod forgetting {
    use checkpointer::{DeletedThreads, MemoryCheckpointer};

    checkpointer_suite::contract_tests!(
        MemoryCheckpointer::new().deleted_threads(DeletedThreads::Forgotten);
        put, put_writes, get_tuple, delete_thread, forgotten
    );
}

mod adding {
    use checkpointer::{MemoryCheckpointer, TaskOutputs};

    checkpointer_suite::contract_tests!(
        MemoryCheckpointer::new().task_outputs(TaskOutputs::ByPosition);
        added_outputs
    );
}

mod limited {
    use checkpointer::MemoryCheckpointer;
    use checkpointer_suite::limit::MAX_THREAD_BYTES;

    checkpointer_suite::contract_tests!(
        MemoryCheckpointer::new().max_thread_bytes(MAX_THREAD_BYTES);
        limit
    );
}

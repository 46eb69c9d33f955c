//! The contract suite, on PostgreSQL.

use checkpointer::PostgresCheckpointer;

use rig::TestDb;

checkpointer_suite::contract_tests!(
    PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap()
);

mod forgetting {
    use checkpointer::{DeletedThreads, PostgresOptions};

    use rig::TestDb;

    checkpointer_suite::contract_tests!(
        PostgresOptions::default()
            .deleted_threads(DeletedThreads::Forgotten)
            .setup(TestDb::new().await.connect(&[]).await)
            .await
            .unwrap();
        put, put_writes, get_tuple, delete_thread, forgotten
    );
}

mod adding {
    use checkpointer::{PostgresOptions, TaskOutputs};

    use rig::TestDb;

    checkpointer_suite::contract_tests!(
        PostgresOptions::default()
            .task_outputs(TaskOutputs::ByPosition)
            .setup(TestDb::new().await.connect(&[]).await)
            .await
            .unwrap();
        added_outputs
    );
}

mod limited {
    use checkpointer::PostgresOptions;
    use checkpointer_suite::limit::MAX_THREAD_BYTES;

    use rig::TestDb;

    checkpointer_suite::contract_tests!(
        PostgresOptions::default()
            .max_thread_bytes(MAX_THREAD_BYTES)
            .setup(TestDb::new().await.connect(&[]).await)
            .await
            .unwrap();
        limit
    );
}

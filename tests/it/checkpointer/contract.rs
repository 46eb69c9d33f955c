//! The contract suite, on PostgreSQL.

use checkpointer::PostgresCheckpointer;

use rig::TestDb;

checkpointer_suite::contract_tests!(
    PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap()
);

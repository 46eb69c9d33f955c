//! The contract suite, on PostgreSQL.

use checkpointer::PostgresCheckpointer;

use tests::TestDb;

checkpointer::contract_tests!(
    PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap()
);

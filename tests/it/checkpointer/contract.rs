//! The contract suite, on PostgreSQL.

use checkpointer::PostgresCheckpointer;

use crate::support::TestDb;

checkpointer::contract_tests!(
    PostgresCheckpointer::setup(TestDb::new().await.connect(&[]).await)
        .await
        .unwrap()
);

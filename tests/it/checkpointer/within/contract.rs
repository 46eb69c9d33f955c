//! The suite's cases of transactions, on PostgreSQL.

use std::sync::Arc;

use checkpointer::{Checkpointer, OpenTransaction, Result};
use checkpointer_suite::within::Transactions;

use super::{Of, Shop};

impl Transactions for Shop {
    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(self.checkpointer.clone())
    }

    async fn run<T>(&self, body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>) -> Result<T> {
        self.order(1, body).await
    }
}

async fn shop(of: Of) -> Shop {
    Shop::with(of, &[("DB_POOL_MAX", "4")], None).await
}

mod session {
    use super::{Of, shop};

    checkpointer_suite::transaction_tests!(shop(Of::Db("session")).await);
}

mod transaction {
    use super::{Of, shop};

    checkpointer_suite::transaction_tests!(shop(Of::Db("transaction")).await);
}

mod driver {
    use super::{Of, shop};

    checkpointer_suite::transaction_tests!(shop(Of::Driver).await);
}

//! Transactions of callers behind a pooler.

use std::sync::Arc;

use checkpointer::{Checkpointer, Error, OpenTransaction, PostgresCheckpointer, Result};
use checkpointer_suite::within::Transactions;
use db::{Database, GenericClient};
use futures_util::future::join_all;
use rig::{NOTES, Release, client};

use super::{PATIENT, Pooled, leftovers};

/// How many connections the pooler opens to the server.
const CONNECTIONS: usize = 4;

const AGENTS: i64 = 16;

/// Adds a note to the table and to the thread, in a transaction of `db` or of the driver, until no
/// other agent has done so in between.
async fn add(pooled: &Pooled, number: i64) {
    let one = [("DB_POOL_MAX", "1")];
    let variables: Vec<_> = PATIENT.iter().chain(&one).copied().collect();
    let database = pooled.connect(&variables).await;
    let checkpointer = PostgresCheckpointer::open(database.clone()).await.unwrap();
    let insert = db::Statement::in_schema(
        "INSERT INTO {schema}.notes VALUES ($1, 'a note')",
        vec![db::Type::INT8],
        NOTES.schema(&database),
    );
    let mut thread = checkpointer.thread::<Vec<i64>>("notes").unwrap();
    let mut driver = client(&pooled.pooler.url()).await.unwrap();
    loop {
        let mut notes = thread.load().await.unwrap().unwrap_or_default();
        notes.push(number);
        let added: Result<()> = if number % 2 == 0 {
            let add = database.transaction(async |tx| {
                tx.execute(&insert, &[&number]).await?;
                thread.save_within(tx, &notes).await.map(drop)
            });
            add.await
        } else {
            let tx = driver.transaction().await.unwrap();
            GenericClient::execute(&tx, &insert, &[&number])
                .await
                .unwrap();
            match thread.save_within(&tx, &notes).await {
                Ok(_) => {
                    tx.commit().await.unwrap();
                    Ok(())
                }
                Err(error) => Err(error),
            }
        };
        match added {
            Ok(()) => break,
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(thread.load().await.unwrap().unwrap().contains(&number));
}

async fn agents_behind_a_pooler_store_each_row_with_its_checkpoint(release: Release) {
    let pooled = Pooled::start(release, CONNECTIONS).await;
    let database = pooled.connect(&PATIENT).await;
    NOTES.apply(&database).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();

    join_all((0..AGENTS).map(|number| add(&pooled, number))).await;
    let mut thread = checkpointer.thread::<Vec<i64>>("notes").unwrap();
    let mut noted = thread.load().await.unwrap().unwrap();
    noted.sort_unstable();
    let observer = pooled.observer().await;
    let rows = observer.query("SELECT id FROM notes.notes ORDER BY id", &[]);
    let rows: Vec<i64> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(noted, rows);
    assert_eq!(rows, (0..AGENTS).collect::<Vec<_>>());
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}

/// Transactions of `db` on a pool behind a pooler.
struct Behind {
    database: Database,
    checkpointer: PostgresCheckpointer,
}

impl Transactions for Behind {
    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(self.checkpointer.clone())
    }

    async fn run<T>(&self, body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>) -> Result<T> {
        let transaction = self
            .database
            .transaction(async |tx| body(OpenTransaction::from(tx)).await);
        transaction.await
    }
}

async fn the_cases_of_transactions_pass_behind_a_pooler(release: Release) {
    let pooled = Pooled::start(release, CONNECTIONS).await;
    let behind = async || {
        let database = pooled.connect(&PATIENT).await;
        let checkpointer = PostgresCheckpointer::setup(database.clone()).await;
        Behind {
            database,
            checkpointer: checkpointer.unwrap(),
        }
    };
    macro_rules! run_cases {
        (within: $($case:ident,)+) => {
            $(Box::pin(checkpointer_suite::within::$case(&behind().await)).await;)+
        };
    }
    checkpointer_suite::__transaction_cases! { run_cases }
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}

through_each_release!(
    agents_behind_a_pooler_store_each_row_with_its_checkpoint,
    the_cases_of_transactions_pass_behind_a_pooler,
);

//! Checkpoints in a transaction of the caller's, with the caller's rows.

mod bb8_pool;
mod contract;
mod deadpool_pool;
mod faults;
mod refusals;
mod typed;
mod waits;

use checkpointer::{
    CheckpointAddress, Checkpointer, Durability, GetTuple, OpenTransaction, PostgresCheckpointer,
    PostgresOptions, PutWrites, Result, TaskId,
};
use db::{Database, GenericClient, Statement, Type};
use serde_json::json;

use super::lost_answers::{dump, fixed, three};
use super::step::{Step, get, head, large, thread, try_write};
use rig::{TcpProxy, TestDb};

/// Whose transaction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// One of `db`, in a pool mode.
    Db(&'static str),
    /// One of the driver.
    Driver,
}

const ALL: [Of; 3] = [Of::Db("session"), Of::Db("transaction"), Of::Driver];

/// A checkpointer, and a table of the caller's beside it.
struct Shop {
    test: TestDb,
    database: Database,
    checkpointer: PostgresCheckpointer,
    of: Of,
}

/// One connection: a call that needed another would wait in vain.
const ALONE: [(&str, &str); 2] = [("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")];

impl Shop {
    async fn open(of: Of) -> Self {
        Self::with(of, &ALONE, None).await
    }

    async fn with(of: Of, variables: &[(&str, &str)], proxy: Option<&TcpProxy>) -> Self {
        let test = TestDb::without_schema().await;
        let mode = match of {
            Of::Db(mode) => mode,
            Of::Driver => "session",
        };
        let variables = [variables, &[("DB_POOL_MODE", mode)]].concat();
        let settings = match proxy {
            Some(proxy) => test.settings_through(proxy, &variables),
            None => test.settings(&variables),
        };
        let database = Database::connect(&settings).await.unwrap();
        let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
        test.with_notes(&database).await;
        Self {
            test,
            database,
            checkpointer,
            of,
        }
    }

    /// What inserts an order, once.
    fn insert(&self) -> Statement {
        let sql = format!(
            "-- shop::insert\nINSERT INTO {}.notes VALUES ($1, 'an order') ON CONFLICT DO NOTHING",
            self.test.schema()
        );
        Statement::from_parts(sql, vec![Type::INT8])
    }

    /// Inserts an order, does something else in the same transaction, and commits if that succeeds.
    async fn order<T>(
        &self,
        number: i64,
        body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let insert = self.insert();
        if self.of == Of::Driver {
            let mut client = self.test.observer().await;
            let tx = client.transaction().await.unwrap();
            GenericClient::execute(&tx, &insert, &[&number]).await?;
            let done = body(OpenTransaction::from(&tx)).await?;
            tx.commit().await.unwrap();
            return Ok(done);
        }
        self.database
            .transaction(async |tx| {
                tx.execute(&insert, &[&number]).await?;
                body(OpenTransaction::from(tx)).await
            })
            .await
    }

    /// The orders that a stranger sees.
    async fn orders(&self) -> Vec<i64> {
        let sql = format!("SELECT id FROM {}.notes ORDER BY id", self.test.schema());
        let rows = self.test.observer().await.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn head(&self, name: &str) -> Option<CheckpointAddress> {
        let head = self
            .checkpointer
            .get_tuple(GetTuple::head(thread(name)).unwrap())
            .await
            .unwrap();
        head.map(|head| head.address)
    }
}

/// An error to roll back with.
fn changed_my_mind() -> checkpointer::Error {
    checkpointer::Error::unsupported("to go on")
}

#[tokio::test]
async fn what_is_put_within_a_transaction_is_what_a_put_stores() {
    for of in ALL {
        let calm = Shop::open(of).await;
        let [_, _, last] = three(&calm.checkpointer, "thread").await;
        let next = fixed(Step::after(&last), "next").expect_head(&last);
        let next = next.put(&calm.checkpointer).await;
        let written = try_write(&calm.checkpointer, &next, "task", &large(7)).await;
        written.unwrap();
        let other = fixed(Step::first(&thread("other")), "first").expect_no_head();
        other.put(&calm.checkpointer).await;

        let shop = Shop::open(of).await;
        let [_, _, last] = three(&shop.checkpointer, "thread").await;
        let put = shop.order(1, async |tx| {
            let next = fixed(Step::after(&last), "next").expect_head(&last);
            let next = shop.checkpointer.put_within(tx, next.request()).await?;
            let (task_id, writes) = (TaskId::new("task")?, [("written".to_owned(), large(7))]);
            let writes = PutWrites::new(&next, &task_id, &writes);
            shop.checkpointer.put_writes_within(tx, writes).await?;
            let other = fixed(Step::first(&thread("other")), "first").expect_no_head();
            shop.checkpointer.put_within(tx, other.request()).await?;
            Ok(next)
        });
        let put = put.await.unwrap();
        assert_eq!(put, next);
        assert_eq!(dump(&shop.test).await, dump(&calm.test).await, "{of:?}");
        assert_eq!(shop.orders().await, [1]);
    }
}

#[tokio::test]
async fn a_rollback_takes_the_checkpoint_and_the_row_with_it() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let [_, _, last] = three(&shop.checkpointer, "thread").await;
        let before = dump(&shop.test).await;
        let rolled_back = shop.order(1, async |tx| -> Result<()> {
            let next = fixed(Step::after(&last), "next");
            shop.checkpointer.put_within(tx, next.request()).await?;
            let first = Step::first(&thread("other"));
            shop.checkpointer.put_within(tx, first.request()).await?;
            Err(changed_my_mind())
        });
        rolled_back.await.unwrap_err();
        assert_eq!(dump(&shop.test).await, before, "{of:?}");
        assert_eq!(shop.orders().await, [0_i64; 0]);
        // As if there had been nothing.
        let next = fixed(Step::after(&last), "next").expect_head(&last);
        next.put(&shop.checkpointer).await;
        let first = Step::first(&thread("other")).expect_no_head();
        first.put(&shop.checkpointer).await;
    }
}

/// What putting the step takes: round trips, and whether the chunks of its value are sent.
async fn cost(proxy: &TcpProxy, shop: &Shop, step: &Step) -> (usize, bool) {
    let (trips, bytes) = (proxy.round_trips(), proxy.bytes_sent());
    step.put(&shop.checkpointer).await;
    let sent = proxy.bytes_sent() - bytes;
    (proxy.round_trips() - trips, sent > 10_000)
}

#[tokio::test]
async fn only_the_chunks_of_a_committed_transaction_are_believed_to_be_stored() {
    for mode in ["session", "transaction"] {
        for commits in [false, true] {
            let proxy = TcpProxy::new();
            let shop = Shop::with(Of::Db(mode), &ALONE, Some(&proxy)).await;
            let [_, _, last] = three(&shop.checkpointer, "thread").await;
            // Its text is sent once in session mode.
            let prepared = Step::after(&last).put(&shop.checkpointer).await;

            let value = json!({ "new": large(99) });
            let ordered = shop.order(1, async |tx| {
                let step = Step::after(&prepared).values(value.clone());
                shop.checkpointer.put_within(tx, step.request()).await?;
                match commits {
                    true => Ok(()),
                    false => Err(changed_my_mind()),
                }
            });
            assert_eq!(ordered.await.is_ok(), commits);

            let step = Step::after(&prepared).values(value);
            let costs = cost(&proxy, &shop, &step).await;
            assert_eq!(costs, (1, !commits), "in mode {mode}");
            let read = get(&shop.checkpointer, &step.address()).await;
            assert_eq!(read.checkpoint.channel_values["new"], large(99));
        }
    }
}

#[tokio::test]
async fn the_chunks_of_a_transaction_of_the_driver_are_sent_again() {
    let proxy = TcpProxy::new();
    let shop = Shop::with(Of::Driver, &ALONE, Some(&proxy)).await;
    let last = Step::first(&thread("thread")).put(&shop.checkpointer).await;
    let last = Step::after(&last).put(&shop.checkpointer).await;
    let value = json!({ "new": large(99) });
    let within = Step::after(&last).values(value.clone());
    let ordered = shop.order(1, async |tx| {
        shop.checkpointer.put_within(tx, within.request()).await
    });
    let last = ordered.await.unwrap();
    let step = Step::after(&last).values(value);
    assert_eq!(cost(&proxy, &shop, &step).await, (1, true));
}

#[tokio::test]
async fn puts_in_one_transaction_see_each_other() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let ordered = shop.order(1, async |tx| {
            let put = async |step: Step| shop.checkpointer.put_within(tx, step.request()).await;
            let value = json!({ "a": large(1), "b": 2 });
            let first = Step::first(&thread("thread"))
                .values(value)
                .expect_no_head();
            let first = put(first).await?;
            // Keeps its parent's values.
            let versions =
                json!({ "a": first.checkpoint_id.as_str(), "b": first.checkpoint_id.as_str() });
            let second = Step::after(&first).versions(versions).expect_head(&first);
            let second = put(second).await?;
            put(Step::after(&first)).await?;
            let query = GetTuple::at(&second);
            let seen = shop.checkpointer.get_tuple_within(tx, query).await?;
            assert_eq!(seen.unwrap().checkpoint.channel_values["a"], large(1));
            Ok(second)
        });
        let second = ordered.await.unwrap();
        let read = get(&shop.checkpointer, &second).await;
        assert_eq!(read.checkpoint.channel_values["a"], large(1));
        let head = head(&shop.checkpointer, &thread("thread")).await.unwrap();
        assert_ne!(head, second.checkpoint_id, "the fork was put last");
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_stored_already_fails_no_transaction() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let [_, second, third] = three(&shop.checkpointer, "thread").await;
        // Once it would conflict, and once it would be replaced.
        for (number, guarded) in [(1, true), (2, false)] {
            let again = fixed(Step::after(&second), "id-3");
            let again = match guarded {
                true => again.expect_head(&second),
                false => again,
            };
            let ordered = shop.order(number, async |tx| {
                shop.checkpointer.put_within(tx, again.request()).await
            });
            assert_eq!(ordered.await.unwrap(), third, "{of:?}");
        }
        assert_eq!(shop.orders().await, [1, 2]);
    }
}

#[tokio::test]
async fn what_a_savepoint_takes_back_is_not_believed_to_be_stored() {
    for mode in ["session", "transaction"] {
        let proxy = TcpProxy::new();
        let shop = Shop::with(Of::Db(mode), &ALONE, Some(&proxy)).await;
        let [_, _, last] = three(&shop.checkpointer, "thread").await;
        let last = Step::after(&last).put(&shop.checkpointer).await;
        let step = Step::after(&last).values(json!({ "new": large(99) }));
        let done: Result<()> = shop
            .database
            .transaction(async |tx| {
                tx.batch_execute("SAVEPOINT a").await?;
                let within = OpenTransaction::from(tx);
                shop.checkpointer.put_within(within, step.request()).await?;
                tx.batch_execute("ROLLBACK TO a").await?;
                Ok(())
            })
            .await;
        done.unwrap();
        assert_eq!(shop.head("thread").await.unwrap(), last);
        assert_eq!(
            cost(&proxy, &shop, &step).await,
            (1, true),
            "in mode {mode}"
        );
    }
}

#[tokio::test]
async fn a_checkpointer_that_gives_up_durability_leaves_that_of_the_callers_transaction() {
    static COMMIT: Statement = Statement::new("SELECT current_setting('synchronous_commit')", &[]);
    let test = TestDb::without_schema().await;
    let database = test.connect(&ALONE).await;
    let options = PostgresOptions::default().durability(Durability::Relaxed);
    let checkpointer = options.setup(database.clone()).await.unwrap();
    let first = Step::first(&thread("thread"));
    let setting: Result<String> = database
        .transaction(async |tx| {
            checkpointer.put_within(tx.into(), first.request()).await?;
            Ok(tx.query_one(&COMMIT, &[]).await?.get(0))
        })
        .await;
    assert_ne!(setting.unwrap(), "off");
}

//! Typed saves in a transaction of the caller's.

use checkpointer::{Checkpointer, DeleteThread, Error, List, Result, Thread};
use db::GenericClient;
use futures_util::TryStreamExt;

use super::{ALL, ALONE, Of, Shop, changed_my_mind};
use crate::checkpointer::step::thread;
use rig::{TcpProxy, at_every_poll};

impl Shop {
    fn counter(&self) -> Thread<u32> {
        self.checkpointer.thread("counter").unwrap()
    }

    /// Saves states within one transaction.
    async fn save(&self, counter: &mut Thread<u32>, states: &[u32], commits: bool) -> Result<()> {
        let ordered = self.order(1, async |tx| {
            for state in states {
                counter.save_within(tx, state).await?;
            }
            match commits {
                true => Ok(()),
                false => Err(changed_my_mind()),
            }
        });
        ordered.await
    }

    /// The states that were saved, the last first: each follows the one before it.
    async fn saved(&self) -> Vec<u32> {
        let list = self
            .checkpointer
            .list(List::thread(thread("counter")).unwrap());
        let listed: Vec<_> = list.try_collect().await.unwrap();
        let ids = listed.iter().map(|tuple| &tuple.address.checkpoint_id);
        let parents = listed.iter().map(|tuple| {
            let parent = tuple.parent_address.as_ref();
            parent.map(|parent| &parent.checkpoint_id)
        });
        assert!(parents.eq(ids.skip(1).map(Some).chain([None])));
        let counter = self.counter();
        let mut states = Vec::new();
        for tuple in &listed {
            states.push(counter.at(&tuple.address.checkpoint_id).await.unwrap());
        }
        states
    }
}

#[tokio::test]
async fn a_save_follows_the_one_that_was_committed_and_not_the_one_that_was_rolled_back() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let mut counter = shop.counter();
        shop.save(&mut counter, &[1], false).await.unwrap_err();
        assert_eq!(counter.checkpoint_id(), None);
        shop.save(&mut counter, &[2], true).await.unwrap();
        shop.save(&mut counter, &[3], false).await.unwrap_err();
        counter.save(&4).await.unwrap();
        shop.save(&mut counter, &[5], true).await.unwrap();
        shop.save(&mut counter, &[6], true).await.unwrap();
        counter.save(&7).await.unwrap();
        assert_eq!(shop.saved().await, [7, 6, 5, 4, 2], "{of:?}");
    }
}

#[tokio::test]
async fn saves_in_one_transaction_follow_each_other_or_are_rolled_back_together() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let mut counter = shop.counter();
        counter.save(&1).await.unwrap();
        shop.save(&mut counter, &[2, 3, 4], true).await.unwrap();
        counter.save(&5).await.unwrap();
        shop.save(&mut counter, &[6, 7], false).await.unwrap_err();
        shop.save(&mut counter, &[8, 9], true).await.unwrap();
        assert_eq!(shop.saved().await, [9, 8, 5, 4, 3, 2, 1], "{of:?}");
    }
}

#[tokio::test]
async fn a_save_that_was_rolled_back_leaves_the_one_that_was_committed_before_it() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let mut counter = shop.counter();
        counter.save(&1).await.unwrap();
        shop.save(&mut counter, &[2], true).await.unwrap();
        shop.save(&mut counter, &[3], false).await.unwrap_err();
        shop.save(&mut counter, &[4], true).await.unwrap();
        shop.save(&mut counter, &[5], true).await.unwrap();
        shop.save(&mut counter, &[6], false).await.unwrap_err();
        counter.save(&7).await.unwrap();
        assert_eq!(shop.saved().await, [7, 5, 4, 2, 1], "{of:?}");
    }
}

#[tokio::test]
async fn a_load_within_a_transaction_sees_its_saves_and_the_next_save_follows_what_was_loaded() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let mut counter = shop.counter();
        let mut other = shop.counter();
        for commits in [false, true] {
            let ordered = shop.order(1, async |tx| {
                let state = counter.load_within(tx).await?.unwrap_or_default();
                counter.save_within(tx, &(state + 1)).await?;
                assert_eq!(counter.load_within(tx).await?, Some(state + 1));
                counter.save_within(tx, &(state + 2)).await?;
                match commits {
                    true => Ok(()),
                    false => Err(changed_my_mind()),
                }
            });
            assert_eq!(ordered.await.is_ok(), commits);
        }
        assert_eq!(shop.saved().await, [2, 1], "{of:?}");
        other.load().await.unwrap();
        other.save(&10).await.unwrap();
        let lost = shop.save(&mut counter, &[3], true).await.unwrap_err();
        assert!(matches!(lost, Error::Conflict { .. }), "{lost}");
        let ordered = shop.order(1, async |tx| {
            let state = counter.load_within(tx).await?.unwrap_or_default();
            counter.save_within(tx, &(state + 1)).await
        });
        ordered.await.unwrap();
        assert_eq!(shop.saved().await, [11, 10, 2, 1]);
        assert_eq!(counter.load().await.unwrap(), Some(11));
    }
}

#[tokio::test]
async fn a_save_of_a_thread_that_was_deleted_since_is_refused() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let mut counter = shop.counter();
        counter.save(&1).await.unwrap();
        shop.save(&mut counter, &[2], true).await.unwrap();
        let delete = DeleteThread::new(thread("counter")).unwrap();
        shop.checkpointer.delete_thread(delete).await.unwrap();
        let refused = shop.save(&mut counter, &[3], true).await.unwrap_err();
        assert!(matches!(refused, Error::ThreadDeleted { .. }), "{refused}");
        assert_eq!(counter.load().await.unwrap(), None);
        shop.save(&mut counter, &[4], true).await.unwrap();
        assert_eq!(shop.saved().await, [4], "{of:?}");
    }
}

#[tokio::test]
async fn a_save_whose_commit_is_not_acknowledged_is_found_by_the_next_call() {
    for mode in ["session", "transaction"] {
        let proxy = TcpProxy::new();
        let shop = Shop::with(Of::Db(mode), &ALONE, Some(&proxy)).await;
        let mut counter = shop.counter();
        for state in [1, 3] {
            proxy.cut_instead_of_answer_to("db_commit");
            let unknown = shop.save(&mut counter, &[state], true).await.unwrap_err();
            assert!(unknown.is_outcome_unknown(), "{unknown}");
            counter.save(&(state + 1)).await.unwrap();
        }
        proxy.cut_instead_of_answer_to("db_commit");
        shop.save(&mut counter, &[5], true).await.unwrap_err();
        shop.save(&mut counter, &[6], true).await.unwrap();
        assert_eq!(shop.saved().await, [6, 5, 4, 3, 2, 1], "in mode {mode}");
    }
}

#[tokio::test]
async fn a_save_whose_outcome_is_unknown_is_settled_within_the_next_transaction() {
    for mode in ["session", "transaction"] {
        for commits in [true, false] {
            let proxy = TcpProxy::new();
            let variables = [&ALONE[..], &[("DB_RETRY_ATTEMPTS", "1")]].concat();
            let shop = Shop::with(Of::Db(mode), &variables, Some(&proxy)).await;
            let mut counter = shop.counter();
            counter.save(&1).await.unwrap();
            proxy.cut_instead_of_answer_to("counter");
            assert!(counter.save(&2).await.unwrap_err().is_outcome_unknown());
            let saved = shop.save(&mut counter, &[3], commits).await;
            assert_eq!(saved.is_ok(), commits);
            counter.save(&4).await.unwrap();
            match commits {
                true => assert_eq!(shop.saved().await, [4, 3, 2, 1], "in mode {mode}"),
                false => assert_eq!(shop.saved().await, [4, 2, 1], "in mode {mode}"),
            }
        }
    }
}

#[tokio::test]
async fn a_typed_save_may_be_dropped_with_its_transaction() {
    for mode in ["session", "transaction"] {
        let shop = Shop::open(Of::Db(mode)).await;
        let mut counter = shop.counter();
        let mut states = 0;
        at_every_poll(
            async || {
                states += 1;
                shop.save(&mut counter, &[states], true).await.unwrap();
            },
            async || shop.database.ping().await.unwrap(),
        )
        .await;
        // Each that was committed follows the one that was committed before it.
        let saved = shop.saved().await;
        assert_eq!(saved.first(), Some(&states), "in mode {mode}");
        assert!(saved.is_sorted_by(|later, earlier| later > earlier));
    }
}

#[tokio::test]
async fn a_save_taken_back_to_a_savepoint_is_as_if_there_had_been_none() {
    for mode in ["session", "transaction"] {
        let shop = Shop::open(Of::Db(mode)).await;
        let mut counter = shop.counter();
        counter.save(&1).await.unwrap();
        let done: Result<()> = shop
            .database
            .transaction(async |tx| {
                tx.batch_execute("SAVEPOINT a").await?;
                counter.save_within(tx, &2).await?;
                tx.batch_execute("ROLLBACK TO a").await?;
                Ok(())
            })
            .await;
        done.unwrap();
        counter.save(&3).await.unwrap();
        assert_eq!(shop.saved().await, [3, 1], "in mode {mode}");
    }
}

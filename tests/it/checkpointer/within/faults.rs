//! Transactions that are dropped, and connections that are lost.

use std::cell::Cell;

use checkpointer::{Checkpointer, Error, OpenTransaction, Result};
use db::GenericClient;

use super::{ALONE, Of, Shop};
use crate::checkpointer::lost_answers::{dump, fixed, three};
use crate::checkpointer::step::{Step, thread};
use rig::{TcpProxy, at_every_poll};

const MODES: [&str; 2] = ["session", "transaction"];

/// Orders, and puts the checkpoint `next` after `last`.
async fn order(shop: &Shop, last: &checkpointer::CheckpointAddress) -> Result<()> {
    let next = fixed(Step::after(last), "next").expect_head(last);
    let ordered = shop.order(1, async |tx| {
        shop.checkpointer.put_within(tx, next.request()).await
    });
    ordered.await.map(drop)
}

/// Whether both the order and the checkpoint are stored; never only one is.
async fn is_ordered(shop: &Shop) -> bool {
    let head = shop.head("thread").await.unwrap();
    let is_put = head.checkpoint_id.as_str() == "next";
    assert_eq!(shop.orders().await.len(), usize::from(is_put));
    is_put
}

#[tokio::test]
async fn a_transaction_may_be_dropped_at_each_of_its_polls() {
    for mode in MODES {
        let calm = Shop::open(Of::Db(mode)).await;
        let [_, _, last] = three(&calm.checkpointer, "thread").await;
        order(&calm, &last).await.unwrap();

        let shop = Shop::open(Of::Db(mode)).await;
        let [_, _, last] = three(&shop.checkpointer, "thread").await;
        at_every_poll(
            async || order(&shop, &last).await.unwrap(),
            async || _ = is_ordered(&shop).await,
        )
        .await;
        assert!(is_ordered(&shop).await);
        assert_eq!(
            dump(&shop.test).await,
            dump(&calm.test).await,
            "in mode {mode}"
        );
    }
}

#[tokio::test]
async fn a_put_may_be_dropped_within_a_transaction_that_is_rolled_back() {
    for mode in MODES {
        let shop = Shop::open(Of::Db(mode)).await;
        let [_, _, last] = three(&shop.checkpointer, "thread").await;
        let before = dump(&shop.test).await;
        let next = fixed(Step::after(&last), "next");
        let rolled_back: Result<()> = shop
            .database
            .transaction(async |tx| {
                let within = OpenTransaction::from(tx);
                let put = async || drop(shop.checkpointer.put_within(within, next.request()).await);
                at_every_poll(put, async || {}).await;
                Err(super::changed_my_mind())
            })
            .await;
        rolled_back.unwrap_err();
        assert_eq!(dump(&shop.test).await, before, "in mode {mode}");
    }
}

#[tokio::test]
async fn a_connection_lost_after_the_row_or_after_the_put_takes_both() {
    for mode in MODES {
        for lost in ["shop::insert", "next"] {
            let proxy = TcpProxy::new();
            let shop = Shop::with(Of::Db(mode), &ALONE, Some(&proxy)).await;
            let [_, _, last] = three(&shop.checkpointer, "thread").await;
            let before = dump(&shop.test).await;
            proxy.cut_instead_of_answer_to(lost);
            let error = order(&shop, &last).await.unwrap_err();
            assert_eq!(proxy.sprung(), 1);
            assert!(
                error.is_transient() && !error.is_outcome_unknown(),
                "{error}"
            );
            assert!(!is_ordered(&shop).await);
            assert_eq!(dump(&shop.test).await, before, "in mode {mode}");
            order(&shop, &last).await.unwrap();
            assert!(is_ordered(&shop).await);
        }
    }
}

#[tokio::test]
async fn a_transaction_whose_commit_is_not_acknowledged_may_be_repeated() {
    for mode in MODES {
        let proxy = TcpProxy::new();
        let shop = Shop::with(Of::Db(mode), &ALONE, Some(&proxy)).await;
        let [_, _, last] = three(&shop.checkpointer, "thread").await;
        proxy.cut_instead_of_answer_to("db_commit");
        let error = order(&shop, &last).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        assert!(is_ordered(&shop).await);
        // The put is the same, so it is no conflict with itself.
        order(&shop, &last).await.unwrap();
        assert!(is_ordered(&shop).await);
    }
}

#[tokio::test]
async fn a_retry_repeats_the_whole_transaction() {
    for mode in MODES {
        for lost in ["shop::insert", "next", "db_commit"] {
            let proxy = TcpProxy::new();
            let shop = Shop::with(Of::Db(mode), &ALONE, Some(&proxy)).await;
            let [_, _, last] = three(&shop.checkpointer, "thread").await;
            proxy.cut_instead_of_answer_to(lost);
            let attempt = || order(&shop, &last);
            shop.database.retry("order").run(attempt).await.unwrap();
            assert_eq!(proxy.sprung(), 1, "{lost} in mode {mode}");
            assert!(is_ordered(&shop).await);
        }
    }
}

#[tokio::test]
async fn a_retry_does_not_repeat_what_is_refused_for_good() {
    let shop = Shop::open(Of::Db("session")).await;
    let [first, _, last] = three(&shop.checkpointer, "thread").await;
    let attempts = Cell::new(0);
    let attempt = || {
        attempts.set(attempts.get() + 1);
        order(&shop, &first)
    };
    let error = shop.database.retry("order").run(attempt).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    assert_eq!(attempts.get(), 1);
    assert_eq!(shop.head("thread").await.unwrap(), last);
}

#[tokio::test]
async fn a_server_process_killed_between_the_row_and_the_put_or_before_the_commit_leaves_nothing() {
    for mode in MODES {
        for puts_first in [false, true] {
            let shop = Shop::open(Of::Db(mode)).await;
            let [_, _, last] = three(&shop.checkpointer, "thread").await;
            let next = fixed(Step::after(&last), "next").expect_head(&last);
            let observer = shop.test.observer().await;
            let kill = async || {
                let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                           WHERE application_name = $1";
                observer.query(sql, &[&shop.test.schema()]).await.unwrap();
            };
            let ordered: Result<()> = shop
                .database
                .transaction(async |tx| {
                    tx.execute(&shop.insert(), &[&1_i64]).await?;
                    if !puts_first {
                        kill().await;
                    }
                    let put = shop
                        .checkpointer
                        .put_within(tx.into(), next.request())
                        .await;
                    if puts_first {
                        kill().await;
                    }
                    put.map(drop)
                })
                .await;
            let error = ordered.unwrap_err();
            // Only a commit that was sent may have taken effect.
            assert!(puts_first || !error.is_outcome_unknown(), "{error}");
            assert!(error.is_transient() || error.is_outcome_unknown());
            assert!(!is_ordered(&shop).await);
            order(&shop, &last).await.unwrap();
            assert!(is_ordered(&shop).await);
        }
    }
}

#[tokio::test]
async fn a_transaction_of_the_driver_that_is_dropped_leaves_nothing() {
    let shop = Shop::open(Of::Driver).await;
    let [_, _, last] = three(&shop.checkpointer, "thread").await;
    let next = fixed(Step::after(&last), "next").expect_head(&last);
    let mut client = shop.test.observer().await;
    for dies in [false, true] {
        let tx = client.transaction().await.unwrap();
        GenericClient::execute(&tx, &shop.insert(), &[&1_i64])
            .await
            .unwrap();
        let within = OpenTransaction::from(&tx);
        shop.checkpointer
            .put_within(within, next.request())
            .await
            .unwrap();
        drop(tx);
        if dies {
            // And with it the connection.
            client = shop.test.observer().await;
        }
        assert!(!is_ordered(&shop).await);
    }
    let first = Step::first(&thread("other"));
    let tx = client.transaction().await.unwrap();
    let within = OpenTransaction::from(&tx);
    shop.checkpointer
        .put_within(within, first.request())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    order(&shop, &last).await.unwrap();
    assert!(is_ordered(&shop).await);
}

//! What is refused within a transaction: by the same errors, and without harm to the rest of it.

use std::time::Duration;

use checkpointer::{AcquireLease, CheckpointId, Checkpointer, DeleteThread, Error, Result};
use db::{GenericClient, Statement};
use expect_test::expect;
use serde_json::json;

use super::{ALL, Of, Shop};
use crate::checkpointer::lost_answers::three;
use crate::checkpointer::step::{Step, thread};
use rig::timeless;

/// Puts a step that is refused, and commits the order all the same.
async fn refused(shop: &Shop, step: Step) -> Error {
    let before = shop.orders().await.len();
    let ordered = shop.order(before as i64, async |tx| {
        let put = shop.checkpointer.put_within(tx, step.request()).await;
        Ok(put.unwrap_err())
    });
    let error = ordered.await.unwrap();
    let pooled = step.try_put(&shop.checkpointer).await.unwrap_err();
    assert_eq!(error.to_string(), pooled.to_string(), "{:?}", shop.of);
    assert_eq!(shop.orders().await.len(), before + 1);
    error
}

#[tokio::test]
async fn each_refusal_of_a_put_is_one_within_a_transaction_and_the_rest_may_be_committed() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let checkpointer = &shop.checkpointer;
        let [first, second, third] = three(checkpointer, "thread").await;

        let error = refused(&shop, Step::after(&second).expect_head(&second)).await;
        assert!(matches!(error, Error::Conflict { head, .. } if head == Some(third.checkpoint_id)));

        let lost = first.sibling(CheckpointId::new("lost").unwrap());
        let keeps = Step::after(&lost).versions(json!({ "a": 1 }));
        let error = refused(&shop, keeps).await;
        assert!(matches!(error, Error::ParentNotFound { .. }), "{error}");

        let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
        let error = refused(&shop, Step::after(&second).values(json!({ "deep": deep }))).await;
        assert!(matches!(error, Error::Unstorable { .. }), "{error}");

        let acquire = AcquireLease::new(thread("thread"), Duration::from_secs(600)).unwrap();
        let lease = checkpointer.acquire_lease(acquire).await.unwrap();
        let error = refused(&shop, Step::after(&second)).await;
        assert!(matches!(error, Error::LeaseHeld { .. }), "{error}");
        checkpointer.release_lease(&lease).await.unwrap();
        let error = refused(&shop, Step::after(&second).lease(&lease)).await;
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");

        let delete = DeleteThread::new(thread("thread")).unwrap();
        checkpointer.delete_thread(delete).await.unwrap();
        let error = refused(&shop, Step::after(&second)).await;
        assert!(matches!(error, Error::ThreadDeleted { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_put_of_an_earlier_generation_is_refused_and_drops_its_writes_with_the_commit() {
    for of in ALL {
        let shop = Shop::open(of).await;
        let [_, _, third] = three(&shop.checkpointer, "thread").await;
        let delete = DeleteThread::new(thread("thread")).unwrap();
        shop.checkpointer.delete_thread(delete).await.unwrap();
        Step::first(&thread("thread")).put(&shop.checkpointer).await;
        let error = refused(&shop, Step::after(&third).without_generation()).await;
        assert!(matches!(error, Error::ThreadDeleted { .. }), "{error}");
    }
}

#[tokio::test]
async fn after_a_statement_that_failed_a_transaction_can_only_be_rolled_back() {
    static FAILS: Statement = Statement::new("SELECT 1 / 0", &[]);
    for mode in ["session", "transaction"] {
        let shop = Shop::open(Of::Db(mode)).await;
        let first = Step::first(&thread("thread"));
        let ordered: Result<()> = shop
            .database
            .transaction(async |tx| {
                tx.execute(&FAILS, &[]).await.unwrap_err();
                let put = shop.checkpointer.put_within(tx.into(), first.request());
                put.await.map(drop)
            })
            .await;
        let error = ordered.unwrap_err();
        assert!(!error.is_outcome_unknown() && !error.is_transient());
        expect![[r#"
            failed to put a checkpoint
            `checkpointer::put` failed
            db error
            ERROR: current transaction is aborted, commands ignored until end of transaction block
        "#]]
        .assert_eq(&timeless(&error));
        assert_eq!(shop.head("thread").await, None);
    }
}

//! A transaction of a pool that isn't one of `db`: bb8-postgres.

use bb8_postgres::PostgresConnectionManager;
use bb8_postgres::bb8::Pool;
use bb8_postgres::tokio_postgres::NoTls;

use super::{Of, Shop};
use rig::url;

#[tokio::test]
async fn a_row_and_a_save_share_a_transaction_of_another_pool() {
    let shop = Shop::open(Of::Driver).await;
    let manager = PostgresConnectionManager::new_from_stringlike(url(), NoTls).unwrap();
    let pool = Pool::builder().max_size(1).build(manager).await.unwrap();
    let mut counter = shop.checkpointer.thread::<i64>("counter").unwrap();
    let insert = format!(
        "INSERT INTO {}.notes VALUES ($1, 'an order')",
        shop.test.schema()
    );
    for (number, commits) in [(1_i64, true), (2, false), (3, true)] {
        let mut client = pool.get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        tx.execute(&insert, &[&number]).await.unwrap();
        counter.save_within(&tx, &number).await.unwrap();
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
    }
    assert_eq!(counter.load().await.unwrap(), Some(3));
    assert_eq!(shop.orders().await, [1, 3]);
}

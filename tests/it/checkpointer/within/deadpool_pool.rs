//! A transaction of a pool that isn't one of `db`: deadpool-postgres.

use deadpool_postgres::tokio_postgres::{Config, NoTls};
use deadpool_postgres::{Manager, Pool};

use super::{Of, Shop};
use rig::url;

#[tokio::test]
async fn a_row_and_a_save_share_a_transaction_of_deadpool() {
    let shop = Shop::open(Of::Driver).await;
    let config: Config = url().parse().unwrap();
    let manager = Manager::new(config, NoTls);
    let pool = Pool::builder(manager).max_size(1).build().unwrap();
    let mut counter = shop.checkpointer.thread::<i64>("counter").unwrap();
    let insert = format!(
        "INSERT INTO {}.notes VALUES ($1, 'an order')",
        shop.test.schema()
    );
    for (number, commits) in [(1_i64, true), (2, false), (3, true)] {
        let mut client = pool.get().await.unwrap();
        let tx = client.transaction().await.unwrap();
        tx.execute(&insert, &[&number]).await.unwrap();
        // It is a wrapper of the driver's transaction.
        counter.save_within(&*tx, &number).await.unwrap();
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
    }
    assert_eq!(counter.load().await.unwrap(), Some(3));
    assert_eq!(shop.orders().await, [1, 3]);
}

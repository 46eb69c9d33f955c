//! What a connection and one trivial query cost: of `db`, and of bb8-postgres.
//!
//! One caller asks again and again, and each pool has one connection. The pools take turns.

use std::time::{Duration, Instant};

use bb8_postgres::PostgresConnectionManager;
use db::{Database, GenericClient as _};
use rig::settings_for;
use serde_json::{Value, json};
use tokio_postgres::NoTls;

use crate::agents::milliseconds;
use crate::figures::percentile;

/// How often each pool is asked in its turn, and how many turns it has. The first one warms up.
const BLOCK: usize = 50;
const TURNS: usize = 41;

const QUERY: &str = "SELECT 1::int4";
static STATEMENT: db::Statement = db::Statement::new(QUERY, &[]);

type Bb8 = bb8::Pool<PostgresConnectionManager<NoTls>>;

/// What one pool takes, in milliseconds.
#[derive(Debug)]
pub(crate) struct Acquire {
    pub(crate) pool: &'static str,
    pub(crate) acquire_p50: f64,
    pub(crate) query_p50: f64,
}

impl Acquire {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "system": self.pool,
            "scenario": "acquire",
            "acquire_p50_ms": self.acquire_p50,
            "query_p50_ms": self.query_p50,
        })
    }
}

enum Pool {
    Db(Database),
    /// As it comes: it asks the server before it gives a connection, and what is asked as a text is
    /// prepared each time.
    Bb8(Bb8),
    /// Without that check, and with a statement that was prepared before, as the floor has it.
    Bare(Bb8, tokio_postgres::Statement),
}

/// Measures the pools.
pub(crate) async fn measure(url: &str) -> anyhow::Result<Vec<Acquire>> {
    let bare = bb8(url, false).await?;
    let statement = bare.get().await?.prepare(QUERY).await?;
    let settings = settings_for(url, &[("DB_POOL_MAX", "1")]);
    let pools = [
        Pool::Db(Database::connect(&settings).await?),
        Pool::Bb8(bb8(url, true).await?),
        Pool::Bare(bare, statement),
    ];
    let mut took: Vec<_> = pools.iter().map(|_| (Vec::new(), Vec::new())).collect();
    for turn in 0..TURNS {
        for (pool, (acquire, query)) in pools.iter().zip(&mut took) {
            for _ in 0..BLOCK {
                let [to_acquire, to_query] = pool.ask().await?;
                if turn > 0 {
                    acquire.push(milliseconds(to_acquire));
                    query.push(milliseconds(to_query));
                }
            }
        }
    }
    let figures = pools
        .iter()
        .zip(took)
        .map(|(pool, (acquire, query))| Acquire {
            pool: pool.name(),
            acquire_p50: percentile(acquire, 50),
            query_p50: percentile(query, 50),
        });
    Ok(figures.collect())
}

async fn bb8(url: &str, check: bool) -> anyhow::Result<Bb8> {
    let manager = PostgresConnectionManager::new_from_stringlike(url, NoTls)?;
    let pool = bb8::Pool::builder().max_size(1).test_on_check_out(check);
    Ok(pool.build(manager).await?)
}

impl Pool {
    fn name(&self) -> &'static str {
        match self {
            Self::Db(_) => "db",
            Self::Bb8(_) => "bb8-postgres",
            Self::Bare(..) => "bb8-postgres, unchecked",
        }
    }

    /// Acquires a connection and asks the query; returns how long each of these took.
    async fn ask(&self) -> anyhow::Result<[Duration; 2]> {
        let start = Instant::now();
        let acquired;
        match self {
            Self::Db(pool) => {
                let connection = pool.get().await?;
                acquired = start.elapsed();
                connection.query_one(&STATEMENT, &[]).await?;
            }
            Self::Bb8(pool) => {
                let connection = pool.get().await?;
                acquired = start.elapsed();
                connection.query_one(QUERY, &[]).await?;
            }
            Self::Bare(pool, statement) => {
                let connection = pool.get().await?;
                acquired = start.elapsed();
                connection.query_one(statement, &[]).await?;
            }
        }
        Ok([acquired, start.elapsed() - acquired])
    }
}

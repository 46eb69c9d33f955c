//! What must not grow: the memory of this process and the connections at the server.

use std::fs;
use std::time::{Duration, Instant};

use db::{Database, GenericClient, Statement};
use settings::Settings;
use tokio::time::sleep;

use crate::lives::{POOL, POOL_OF_WORKER, Soak, WORKERS};
use crate::tally::Tally;

/// How often it looks, and how often it says something.
const EVERY: Duration = Duration::from_secs(1);
const SAYS_EVERY: u32 = 10;

/// By how much the memory may grow once all that is used is loaded: what a checkpointer remembers
/// is bounded by 64 MiB, and the allocator may need as much again.
const MAY_GROW: u64 = 128 << 20;

/// After this time, or a quarter of a shorter run, all that is used is loaded.
const LOADED_AFTER: Duration = Duration::from_secs(60);

/// How many connections there may be at once: those of all pools, and as many that are being
/// replaced or whose program was killed just now.
const MAY_CONNECT: i64 = 2 * (POOL as i64 + WORKERS as i64 * POOL_OF_WORKER as i64);

/// How long the connections may take to go once everything is closed.
const GONE_WITHIN: Duration = Duration::from_secs(20);

const CONNECTIONS: Statement = Statement::new(
    "-- rig::connections
SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name LIKE 'soak%'",
    &[],
);

/// What those connections are doing.
const WHICH: Statement = Statement::new(
    "-- rig::which
SELECT coalesce(string_agg(concat_ws(' ', application_name, state, 'since', state_change, query), '; '), '')
FROM pg_catalog.pg_stat_activity WHERE application_name LIKE 'soak%'",
    &[],
);

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    loaded: Option<u64>,
    last: Option<u64>,
    most_connections: i64,
}

/// Looks until the time is over, which it then says, and tells now and then how it goes.
pub(crate) async fn watch(soak: &Soak, time: Duration) -> Watch {
    let started = Instant::now();
    let mut watch = Watch::default();
    for look in 1.. {
        if soak.is_over() || started.elapsed() > time {
            soak.end();
            break;
        }
        sleep(EVERY).await;
        watch.last = resident_bytes();
        if started.elapsed() > LOADED_AFTER.min(time / 4) && watch.loaded.is_none() {
            watch.loaded = watch.last;
        }
        if let Ok(connections) = connections(soak.checker.database()).await {
            watch.most_connections = watch.most_connections.max(connections);
        }
        if look % SAYS_EVERY == 0 {
            eprintln!("{:>6.0?}: {}", started.elapsed(), soak.progress());
        }
    }
    watch
}

/// Says which connections are left after all were closed.
pub(crate) async fn connections_left(soak: &Soak) -> anyhow::Result<Option<String>> {
    soak.checker.database().close(GONE_WITHIN).await?;
    let settings = Settings::builder(soak.server.url()).application_name("observer");
    let observer = Database::connect(&settings.build()?).await?;
    let started = Instant::now();
    loop {
        match connections(&observer).await? {
            0 => return Ok(None),
            left if started.elapsed() > GONE_WITHIN => {
                let which = observer.get().await?.query_one(&WHICH, &[]).await?;
                let which: &str = which.get(0);
                return Ok(Some(format!(
                    "{left} connections are left after the close: {which}"
                )));
            }
            _ => sleep(EVERY / 10).await,
        }
    }
}

async fn connections(database: &Database) -> db::Result<i64> {
    let row = database.get().await?.query_one(&CONNECTIONS, &[]).await?;
    Ok(row.get(0))
}

impl Watch {
    /// Adds what was seen, and what is too much of it.
    pub(crate) fn report(&self, tally: &mut Tally) {
        let megabytes = |bytes: u64| format!("{} MiB", bytes >> 20);
        if let (Some(loaded), Some(last)) = (self.loaded, self.last) {
            tally.watched("memory once all was loaded", megabytes(loaded));
            tally.watched("memory at the end", megabytes(last));
            if last > loaded + MAY_GROW {
                let (loaded, last) = (megabytes(loaded), megabytes(last));
                tally.violated([format!("the memory grew from {loaded} to {last}")]);
            }
        }
        let most = self.most_connections;
        tally.watched("most connections at once", most.to_string());
        if most > MAY_CONNECT {
            tally.violated([format!("{most} connections at once, not {MAY_CONNECT}")]);
        }
    }
}

/// How much of this process is in memory, where Linux says it.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

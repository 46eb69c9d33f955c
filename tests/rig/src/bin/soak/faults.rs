//! What goes wrong while everybody works.

use std::time::Duration;

use db::{GenericClient, Statement};
use rig::Stop;
use tokio::time::sleep;

use crate::lives::Soak;

/// The longest time between two faults.
const PEACE: Duration = Duration::from_secs(6);

/// Ends half of the connections, whatever they do at the moment.
const TERMINATE: Statement = Statement::new(
    "-- rig::terminate
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE application_name LIKE 'soak%' AND pid <> pg_catalog.pg_backend_pid() AND random() < 0.5",
    &[],
);

/// Breaks something from time to time, until the time is over.
pub(crate) async fn inject(soak: &Soak) -> anyhow::Result<()> {
    while !soak.is_over() {
        sleep(PEACE.mul_f64(fastrand::f64())).await;
        match fastrand::u8(..5) {
            0 => restart(soak, Stop::Immediate, "crashes of the server").await?,
            1 => restart(soak, Stop::Fast, "restarts of the server").await?,
            _ => {
                let connection = soak.checker.database().get().await;
                // One that is cut is no news here.
                let ended = match connection {
                    Ok(connection) => connection.query(&TERMINATE, &[]).await,
                    Err(error) => Err(error),
                };
                for _ in ended.iter().flatten() {
                    soak.broke("connections cut");
                }
            }
        }
    }
    Ok(())
}

async fn restart(soak: &Soak, stop: Stop, fault: &'static str) -> anyhow::Result<()> {
    soak.server.stop(stop).await?;
    soak.server.start_again().await?;
    soak.broke(fault);
    Ok(())
}

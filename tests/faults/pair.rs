//! A primary and a standby that follows it.

use rig::{PrivateServer, client, eventually, settings_for};
use settings::Settings;
use tokio_postgres::Client;

/// Two servers with streaming replication.
pub(crate) struct Pair {
    pub(crate) primary: PrivateServer,
    pub(crate) standby: PrivateServer,
}

impl Pair {
    /// Starts both; the primary doesn't wait for the standby.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts both, the standby with settings of its own.
    pub(crate) async fn start_with(of_standby: &[(&str, &str)]) -> Self {
        let primary = PrivateServer::start(&[]).await.unwrap();
        let standby = primary.standby(of_standby).await.unwrap();
        Self { primary, standby }
    }

    /// From now on a commit is acknowledged when the standby has it too.
    pub(crate) async fn synchronous(&self) {
        let settings = [("synchronous_standby_names", "*")];
        self.primary.configure(&settings).unwrap();
        self.primary.reload().await.unwrap();
        let client = client(&self.primary.url()).await.unwrap();
        eventually("the standby is synchronous", async || {
            let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            count(&client, sql).await == 1
        })
        .await;
    }

    /// The settings for both hosts, of which one in the role that `attrs` asks for will do.
    pub(crate) fn settings(&self, attrs: &str, variables: &[(&str, &str)]) -> Settings {
        let (one, two) = (self.primary.port(), self.standby.port());
        let url = format!(
            "postgres://postgres@127.0.0.1:{one},127.0.0.1:{two}/postgres?application_name=checkpointer&target_session_attrs={attrs}"
        );
        settings_for(&url, variables)
    }

    /// Waits until the standby has replayed all that the primary did before.
    ///
    /// A vacuum, or a read that tidies a page, leaves its part of the log unflushed: an idle server
    /// would send that to the standby seconds later. A commit flushes it.
    pub(crate) async fn caught_up(&self) {
        let primary = client(&self.primary.url()).await.unwrap();
        let standby = client(&self.standby.url()).await.unwrap();
        flush(&primary).await;
        let at = "SELECT pg_current_wal_flush_lsn()::text";
        let at: String = primary.query_one(at, &[]).await.unwrap().get(0);
        let reached = format!("SELECT (pg_last_wal_replay_lsn() >= '{at}')::int::int8");
        eventually("the standby has caught up", async || {
            count(&standby, &reached).await == 1
        })
        .await;
    }

    /// Lets the standby fall behind for good.
    pub(crate) async fn stop_replication(&self) {
        let standby = client(&self.standby.url()).await.unwrap();
        let nowhere = "ALTER SYSTEM SET primary_conninfo = ''";
        standby.batch_execute(nowhere).await.unwrap();
        self.standby.reload().await.unwrap();
        eventually("the standby receives nothing any more", async || {
            count(&standby, "SELECT count(*) FROM pg_stat_wal_receiver").await == 0
        })
        .await;
    }
}

/// Flushes the log of a server: a transaction that writes to it commits.
async fn flush(client: &Client) {
    let message = "SELECT pg_logical_emit_message(true, 'tests', 'flush')";
    client.batch_execute(message).await.unwrap();
}

/// The number that a query returns.
pub(crate) async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until new sessions have the settings too.
pub(crate) async fn reload(server: &PrivateServer) {
    let before = "SELECT pg_conf_load_time()::text";
    let observer = client(&server.url()).await.unwrap();
    let loaded: String = observer.query_one(before, &[]).await.unwrap().get(0);
    server.reload().await.unwrap();
    eventually("the settings are read again", async || {
        let client = client(&server.url()).await.unwrap();
        client
            .query_one(before, &[])
            .await
            .unwrap()
            .get::<_, String>(0)
            != loaded
    })
    .await;
}

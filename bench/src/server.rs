//! The server that everything is measured on.

use std::collections::BTreeMap;

use rig::client;
use tokio_postgres::Client;

use crate::contender::System;
use crate::cpu;

/// A connection that looks from outside.
pub(crate) struct Server {
    client: Client,
    pub(crate) url: String,
    schemas: u32,
}

impl Server {
    pub(crate) async fn connect(url: String) -> anyhow::Result<Self> {
        Ok(Self {
            client: client(&url).await?,
            url,
            schemas: 0,
        })
    }

    /// What the server is, and how it was told to store.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let row = self
            .client
            .query_one(
                "SELECT current_setting('server_version'), current_setting('fsync'),
                    current_setting('synchronous_commit')",
                &[],
            )
            .await?;
        let (version, fsync, commit): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        Ok(format!(
            "PostgreSQL {version}, fsync {fsync}, synchronous_commit {commit}"
        ))
    }

    /// Makes an empty schema.
    pub(crate) async fn make_schema(&mut self) -> anyhow::Result<String> {
        self.schemas += 1;
        let schema = format!("bench_{}_{}", std::process::id(), self.schemas);
        let sql = format!("CREATE SCHEMA {schema}");
        self.client.batch_execute(&sql).await?;
        Ok(schema)
    }

    pub(crate) async fn drop_schema(&self, schema: &str) -> anyhow::Result<()> {
        let sql = format!("SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE");
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// The bytes of each table, with its indexes and what is kept out of line.
    pub(crate) async fn tables(&self, schema: &str) -> anyhow::Result<BTreeMap<String, i64>> {
        let rows = self
            .client
            .query(
                "SELECT relname::text, pg_total_relation_size(c.oid)
                FROM pg_class AS c
                WHERE relkind = 'r' AND relnamespace = to_regnamespace($1::text)",
                &[&schema],
            )
            .await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// The CPU seconds of the server processes behind the connections of `application`, by process.
    ///
    /// Nothing if they don't run on this machine. What the server does in the background isn't
    /// among it.
    pub(crate) async fn cpu(&self, application: &str) -> anyhow::Result<Option<Cpu>> {
        let rows = self
            .client
            .query(
                "SELECT pid, client_port FROM pg_stat_activity WHERE application_name = $1",
                &[&application],
            )
            .await?;
        let mut processes = BTreeMap::new();
        for row in &rows {
            let (pid, port): (i32, Option<i32>) = (row.get(0), row.get(1));
            let Some(seconds) = port.and_then(|port| cpu::backend(pid, port)) else {
                return Ok(None);
            };
            processes.insert(pid, seconds);
        }
        Ok(Some(Cpu(processes)))
    }
}

/// CPU seconds, by process.
#[derive(Debug)]
pub(crate) struct Cpu(BTreeMap<i32, f64>);

impl Cpu {
    /// The seconds since `before`; a process that wasn't there then began at zero.
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let processes = self.0.iter();
        processes
            .map(|(pid, seconds)| seconds - before.0.get(pid).unwrap_or(&0.0))
            .sum()
    }
}

/// The statement that gives the bytes stored in a schema, without a system's pending tables.
pub(crate) fn weigh(system: System, schema: &str) -> String {
    let pending = system.pending_tables().join("', '");
    format!(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
        FROM pg_catalog.pg_class AS c
        WHERE relkind = 'r' AND relnamespace = to_regnamespace('{schema}')
          AND relname NOT IN ('{pending}')"
    )
}

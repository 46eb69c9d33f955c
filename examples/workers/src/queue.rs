//! The queue: a table of jobs beside the checkpoints.

use std::time::{Duration, SystemTime};

use db::{Database, GenericClient, Migration, Migrations, Result, Statement, Transaction, Type};

const TABLES: Migrations = Migrations::new(
    "jobs",
    &[Migration {
        number: 1,
        name: "jobs",
        sql: "
CREATE TABLE {schema}.jobs (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id      text NOT NULL,
    question       text NOT NULL,
    -- Until when other workers leave it to the one that has claimed it.
    claimed_until  timestamptz NOT NULL DEFAULT '-infinity',
    done_at        timestamptz
);
CREATE INDEX jobs_open ON {schema}.jobs (id) WHERE done_at IS NULL;
CREATE INDEX jobs_open_of_thread ON {schema}.jobs (thread_id, id) WHERE done_at IS NULL;

-- What is sent to the customers.
CREATE TABLE {schema}.answers (
    job_id  bigint NOT NULL,
    answer  text NOT NULL
);",
    }],
);

/// A question that waits for an answer.
#[derive(Debug, Clone)]
pub struct Job {
    /// Which job it is.
    pub id: i64,
    /// The thread that the question belongs to.
    pub thread_id: String,
    /// What is asked.
    pub question: String,
}

/// A queue of jobs. Those of one thread are done one after the other.
#[derive(Debug)]
pub struct Queue {
    database: Database,
    add: Statement,
    claim: Statement,
    put_off: Statement,
    is_open: Statement,
    finish: Statement,
    open: Statement,
}

impl Queue {
    /// Opens the queue, and makes its tables if there are none.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the tables may have been made. Call it again.
    pub async fn setup(database: Database) -> Result<Self> {
        TABLES.apply(&database).await?;
        let statement = |sql, types: &[Type]| {
            Statement::in_schema(sql, types.to_vec(), TABLES.schema(&database))
        };
        Ok(Self {
            add: statement(ADD, &[Type::TEXT, Type::TEXT]),
            claim: statement(CLAIM, &[Type::FLOAT8]),
            put_off: statement(PUT_OFF, &[Type::INT8, Type::TIMESTAMPTZ]),
            is_open: statement(IS_OPEN, &[Type::INT8]),
            finish: statement(FINISH, &[Type::INT8, Type::TEXT]),
            open: statement(OPEN, &[]),
            database,
        })
    }

    /// Adds a job.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the job may have been added.
    pub async fn add(&self, thread_id: &str, question: &str) -> Result<()> {
        let connection = self.database.get().await?;
        connection
            .execute(&self.add, &[&thread_id, &question])
            .await?;
        Ok(())
    }

    /// Returns how many jobs aren't done.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    pub async fn open(&self) -> Result<i64> {
        let connection = self.database.get().await?;
        Ok(connection.query_one(&self.open, &[]).await?.get(0))
    }

    /// Claims the oldest job that no worker has claimed. The claim only spreads the workers over the
    /// jobs: it may end while the work goes on, and then the lease on the thread keeps others out.
    pub(crate) async fn claim(&self, for_: Duration) -> Result<Option<Job>> {
        let seconds = for_.as_secs_f64();
        // A claim whose answer is lost is over like any other.
        let claim = self.database.retry("claim a job").run(|| async {
            let connection = self.database.get().await?;
            connection.query_opt(&self.claim, &[&seconds]).await
        });
        Ok(claim.await?.map(|row| Job {
            id: row.get("id"),
            thread_id: row.get("thread_id"),
            question: row.get("question"),
        }))
    }

    /// Leaves a job alone until another worker's lease is over.
    pub(crate) async fn put_off(&self, job: &Job, until: SystemTime) -> Result<()> {
        let connection = self.database.get().await?;
        connection
            .execute(&self.put_off, &[&job.id, &until])
            .await?;
        Ok(())
    }

    /// Whether no worker has done a job.
    pub(crate) async fn is_open(&self, job: &Job) -> Result<bool> {
        let connection = self.database.get().await?;
        let row = connection.query_opt(&self.is_open, &[&job.id]).await?;
        Ok(row.is_some())
    }

    /// Notes that a job is done, with its answer.
    pub(crate) async fn finish(&self, tx: &Transaction<'_>, job: &Job, answer: &str) -> Result<()> {
        tx.execute(&self.finish, &[&job.id, &answer]).await?;
        Ok(())
    }
}

const ADD: &str = "-- jobs::add
INSERT INTO {schema}.jobs (thread_id, question) VALUES ($1, $2)";

/// A job waits for the earlier ones of its thread. One that another worker is just claiming is skipped.
const CLAIM: &str = "-- jobs::claim
UPDATE {schema}.jobs AS claimed SET claimed_until = now() + $1 * interval '1 second'
WHERE claimed.id = (
    SELECT job.id FROM {schema}.jobs AS job
    WHERE job.done_at IS NULL AND job.claimed_until <= now() AND NOT EXISTS (
        SELECT FROM {schema}.jobs AS earlier
        WHERE earlier.thread_id = job.thread_id AND earlier.id < job.id
          AND earlier.done_at IS NULL)
    ORDER BY job.id LIMIT 1 FOR UPDATE OF job SKIP LOCKED)
RETURNING claimed.id, claimed.thread_id, claimed.question";

const PUT_OFF: &str = "-- jobs::put_off
UPDATE {schema}.jobs SET claimed_until = $2 WHERE id = $1";

const IS_OPEN: &str = "-- jobs::is_open
SELECT true AS open FROM {schema}.jobs WHERE id = $1 AND done_at IS NULL";

const FINISH: &str = "-- jobs::finish
WITH done AS (UPDATE {schema}.jobs SET done_at = now() WHERE id = $1)
INSERT INTO {schema}.answers (job_id, answer) VALUES ($1, $2)";

const OPEN: &str = "-- jobs::open
SELECT count(*) FROM {schema}.jobs WHERE done_at IS NULL";

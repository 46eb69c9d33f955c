//! A caller whose connections go through a proxy, which refuses what it asks for.

use std::fmt;
use std::time::Duration;

use checkpointer::{
    CheckpointAddress, Checkpointer, Error, GetTuple, PostgresCheckpointer, PutWrites, Result,
    TaskId, ThreadId,
};
use checkpointer_suite::step::Step;
use db::Database;
use fastrand::Rng;
use futures_util::future::join_all;
use rig::{Fault, Instead, Later, Moment, Refusal, TcpProxy, in_one_line, settings_for};
use serde_json::{Value, json};
use settings::Settings;
use tokio::time::timeout;

use super::Outcomes;
use super::deck::Deck;

/// How many faults a round has at most.
const FAULTS: usize = 3;

/// How many calls a round has at most, each for another thread.
const CALLS: usize = 3;

/// After so long a call hangs.
const LONG: Duration = Duration::from_secs(60);

pub(super) struct Caller {
    rng: Rng,
    at_start: Deck,
    later: Deck,
    proxy: TcpProxy,
    /// Reads past the proxy.
    reader: PostgresCheckpointer,
    subject: Subject,
    threads: Vec<ThreadId>,
    heads: Vec<Option<CheckpointAddress>>,
    acknowledged: Vec<Call>,
    outcomes: Outcomes,
}

/// What the calls are made with.
struct Subject {
    database: Database,
    checkpointer: PostgresCheckpointer,
    /// Whether a failure that passes is tried again.
    is_patient: bool,
}

/// What a round asks for.
enum Call {
    Put(Box<Step>),
    PutWrites(CheckpointAddress, TaskId, Value),
    Get(CheckpointAddress),
}

impl Caller {
    pub(super) async fn new(
        url: &str,
        reader: PostgresCheckpointer,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let proxy = TcpProxy::before(url);
        let subject = Subject::connect(&settings(&proxy, true, 3), true).await?;
        let name = |thread| ThreadId::new(format!("refused-{seed}-{thread}"));
        Ok(Self {
            rng: Rng::with_seed(seed),
            at_start: Deck::at_start(),
            later: Deck::later(),
            proxy,
            reader,
            subject,
            threads: (0..CALLS).map(name).collect::<Result<_>>()?,
            heads: vec![None; CALLS],
            acknowledged: Vec::new(),
            outcomes: Outcomes::default(),
        })
    }

    pub(super) async fn run(mut self, rounds: u32) -> anyhow::Result<Outcomes> {
        for _ in 0..rounds {
            match self.rng.u8(..4) {
                0 => self.connect_anew().await?,
                _ => self.call().await?,
            }
        }
        for call in std::mem::take(&mut self.acknowledged) {
            if call.is_stored(&self.reader).await? == Some(false) {
                self.violation(&format!("{call} was acknowledged, and is missing"), &[]);
            }
        }
        Ok(self.outcomes)
    }

    /// Refuses the next few connections.
    fn refuse_connections(&mut self) -> Vec<(Refusal, Moment)> {
        let count = self.rng.usize(1..=FAULTS);
        let next = |_| (self.at_start.next(&mut self.rng), Moment::StartUp);
        let refusals = (0..count).map(next).collect();
        self.refuse(refusals)
    }

    /// Refuses the next few statements, or the connections that these need.
    fn refuse_statements(&mut self) -> Vec<(Refusal, Moment)> {
        let mut refusals = Vec::new();
        for _ in 0..self.rng.usize(1..=FAULTS) {
            refusals.push(match self.rng.u8(..4) {
                0 => (self.at_start.next(&mut self.rng), Moment::StartUp),
                _ => {
                    let refusal = self.later.next(&mut self.rng);
                    let moment = self.rng.choice(refusal.moments());
                    (refusal, *moment.expect("a refusal has moments"))
                }
            });
        }
        self.refuse(refusals)
    }

    fn refuse(&self, refusals: Vec<(Refusal, Moment)>) -> Vec<(Refusal, Moment)> {
        let fault = |(refusal, moment): &(Refusal, Moment)| Fault {
            moment: *moment,
            instead: refusal.instead,
        };
        self.proxy.fail(refusals.iter().map(fault));
        refusals
    }

    /// Ends what was to be refused, and returns how much of it was.
    fn relent(&self, refusals: &mut Vec<(Refusal, Moment)>) {
        let left = self.proxy.faults_left();
        self.proxy.fail([]);
        refusals.truncate(refusals.len() - left);
    }

    /// Connects while connections are refused: that succeeds after all, or fails for good.
    async fn connect_anew(&mut self) -> anyhow::Result<()> {
        // Its pool may be about to replace a connection, which would be refused in place of the new one.
        self.close_subject().await?;
        let mut refusals = self.refuse_connections();
        let is_patient = self.rng.bool();
        let settings = settings(&self.proxy, is_patient, 1);
        let connected = timeout(LONG, Database::connect(&settings)).await;
        self.relent(&mut refusals);
        let stays = refusals.iter().any(|(refusal, _)| !refusal.passes());
        match connected {
            Ok(Ok(database)) => {
                self.outcomes.did("connected after all");
                database.close(LONG).await?;
                if stays {
                    self.violation("connected, although it was refused for good", &refusals);
                }
            }
            Ok(Err(error)) => {
                self.outcomes.did("refused for good");
                let is_right = matches!(error, db::Error::Connect { .. })
                    && stays
                    && !error.is_transient()
                    && !error.is_outcome_unknown();
                if !is_right {
                    self.violation(&in_one_line(&error), &refusals);
                }
            }
            Err(_) => self.violation("hangs", &refusals),
        }
        self.open_subject(is_patient).await
    }

    async fn close_subject(&self) -> anyhow::Result<()> {
        self.subject.checkpointer.close().await?;
        self.subject.database.close(LONG).await?;
        Ok(())
    }

    async fn open_subject(&mut self, is_patient: bool) -> anyhow::Result<()> {
        let settings = settings(&self.proxy, is_patient, self.rng.u32(1..=3));
        self.subject = Subject::connect(&settings, is_patient).await?;
        Ok(())
    }

    /// Makes a few calls at once, of which some are refused.
    async fn call(&mut self) -> anyhow::Result<()> {
        let count = self.rng.usize(1..=CALLS);
        let calls = (0..count).map(|thread| self.choose(thread));
        let calls: Vec<_> = calls.collect::<Result<_>>()?;
        let mut refusals = self.refuse_statements();
        let needs_connection = refusals[0].1 == Moment::StartUp;
        if needs_connection {
            self.proxy.cut();
        }
        let checkpointer = self.subject.checkpointer.clone();
        let sent = calls
            .iter()
            .map(|call| timeout(LONG, call.send(&checkpointer)));
        let answers = join_all(sent).await;
        self.relent(&mut refusals);
        for (call, answer) in calls.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    let is_alone = count == 1 && !needs_connection;
                    self.check(call, &answer, &refusals, is_alone).await?;
                }
                Err(_) => self.violation(&format!("{call} hangs"), &refusals),
            }
        }
        // A pool tries a connection that is refused for good only now and then.
        if refusals.iter().any(|(refusal, _)| !refusal.passes()) {
            let is_patient = self.rng.bool();
            self.close_subject().await?;
            self.open_subject(is_patient).await?;
        }
        self.repeat(calls).await
    }

    fn choose(&mut self, thread: usize) -> Result<Call> {
        let Some(head) = &self.heads[thread] else {
            let first = Step::first(&self.threads[thread]);
            let first = first.values(json!({ "n": 0 }));
            return Ok(Call::Put(Box::new(first.expect_no_head())));
        };
        let value = json!({ "n": self.rng.u32(..), "text": "x".repeat(self.rng.usize(..3_000)) });
        Ok(match self.rng.u8(..4) {
            0 => Call::Get(head.clone()),
            1 => {
                let task = TaskId::new(self.rng.u64(..).to_string())?;
                Call::PutWrites(head.clone(), task, value)
            }
            _ => {
                let next = Step::after(head).values(json!({ "a": value }));
                Call::Put(Box::new(next.expect_head(head)))
            }
        })
    }

    /// Whether an answer agrees with what is stored, and with what was refused.
    async fn check(
        &mut self,
        call: &Call,
        answer: &Result<()>,
        refusals: &[(Refusal, Moment)],
        is_alone: bool,
    ) -> anyhow::Result<()> {
        let is_stored = call.is_stored(&self.reader).await?;
        let stays = refusals.iter().any(|(refusal, _)| !refusal.passes());
        let error = match answer {
            Ok(()) => {
                self.outcomes.did("succeeded");
                if is_stored == Some(false) {
                    self.violation(
                        &format!("{call} succeeded, and nothing is stored"),
                        refusals,
                    );
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let (passes, is_unknown) = (error.is_transient(), error.is_outcome_unknown());
        self.outcomes.did(match (passes, is_unknown) {
            (_, true) => "failed with an unknown outcome",
            (true, false) => "failed for the moment",
            (false, false) => "failed for good",
        });
        // One fault alone, of which is known that the statement reached no server.
        let was_never_sent = is_alone
            && matches!(refusals, [(refusal, _)] if refusal.later == Some(Later::NeverSent));
        let wrong = [
            (
                !matches!(error, Error::Database { .. }),
                "is of another kind",
            ),
            (
                !is_unknown && is_stored == Some(true),
                "is stored after all",
            ),
            (is_unknown && was_never_sent, "was never sent"),
            (!passes && !stays, "would pass"),
            (self.subject.is_patient && !stays, "wasn't tried again"),
        ];
        for (_, what) in wrong.iter().filter(|(is_wrong, _)| *is_wrong) {
            let error = in_one_line(error);
            self.violation(&format!("{call} {what}: {error}"), refusals);
        }
        Ok(())
    }

    /// Makes the calls again, which nothing refuses any more: each has the effect of one.
    async fn repeat(&mut self, calls: Vec<Call>) -> anyhow::Result<()> {
        for (thread, call) in calls.into_iter().enumerate() {
            match timeout(LONG, call.send_patiently(&self.subject.checkpointer)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = in_one_line(&error);
                    self.violation(&format!("{call} fails for ever: {error}"), &[]);
                }
                Err(_) => self.violation(&format!("{call} hangs, though nothing is refused"), &[]),
            }
            if let Call::Put(step) = &call {
                let stored = self.reader.get_tuple(GetTuple::at(&step.address())).await?;
                if let Some(stored) = stored {
                    self.heads[thread] = Some(stored.address);
                }
            }
            self.acknowledged.push(call);
        }
        Ok(())
    }

    fn violation(&mut self, what: &str, refusals: &[(Refusal, Moment)]) {
        let refused: Vec<_> = refusals
            .iter()
            .map(|(refusal, moment)| match refusal.instead {
                Instead::Error { code, text, .. } => format!("{moment:?}: {code} {text}"),
                instead => format!("{moment:?}: {instead:?}"),
            })
            .collect();
        let refused = refused.join("; ");
        let violations = &mut self.outcomes.violations;
        violations.push(format!("{what} (refused: {refused})"));
    }
}

impl Subject {
    async fn connect(settings: &Settings, is_patient: bool) -> anyhow::Result<Self> {
        let database = Database::connect(settings).await?;
        let checkpointer = PostgresCheckpointer::open(database.clone()).await?;
        Ok(Self {
            database,
            checkpointer,
            is_patient,
        })
    }
}

impl Call {
    async fn send(&self, to: &PostgresCheckpointer) -> Result<()> {
        match self {
            Self::Put(step) => step.try_put(to).await.map(drop),
            Self::PutWrites(at, task, value) => {
                let writes = [("written".to_owned(), value.clone())];
                to.put_writes(PutWrites::new(at, task, &writes)).await
            }
            Self::Get(at) => to.get_tuple(GetTuple::at(at)).await.map(drop),
        }
    }

    /// Sends it again as long as an error says that it may pass: a connection that was cut off is
    /// noticed by the next call perhaps.
    async fn send_patiently(&self, to: &PostgresCheckpointer) -> Result<()> {
        loop {
            match self.send(to).await {
                Err(error) if error.is_transient() => {}
                answer => return answer,
            }
        }
    }

    /// Whether what it stores is there; none if it stores nothing.
    async fn is_stored(&self, reader: &PostgresCheckpointer) -> Result<Option<bool>> {
        let (at, task) = match self {
            Self::Put(step) => (step.address(), None),
            Self::PutWrites(at, task, _) => (at.clone(), Some(task)),
            Self::Get(_) => return Ok(None),
        };
        let stored = reader.get_tuple(GetTuple::at(&at)).await?;
        Ok(Some(stored.is_some_and(|stored| match task {
            None => true,
            Some(task) => {
                let mut tasks = stored.pending_writes.iter().map(|write| &write.task_id);
                tasks.any(|stored| stored == task)
            }
        })))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put(_) => "a put",
            Self::PutWrites(..) => "a put of writes",
            Self::Get(_) => "a read",
        })
    }
}

fn settings(proxy: &TcpProxy, is_patient: bool, connections: u32) -> Settings {
    let connections = connections.to_string();
    let attempts = if is_patient { "100" } else { "1" };
    let variables = [
        ("DB_POOL_MAX", &*connections),
        ("DB_RETRY_ATTEMPTS", attempts),
        ("DB_RETRY_PAUSE", "100ms"),
        // How long silence is put up with.
        ("DB_CONNECT_TIMEOUT", "2s"),
        ("DB_STATEMENT_TIMEOUT", "2s"),
        ("DB_NETWORK_TIMEOUT", "500ms"),
    ];
    settings_for(proxy.url(), &variables)
}

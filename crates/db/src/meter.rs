//! What the pool tells a recorder of the `metrics` facade.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use metrics::{
    Counter, Gauge, Histogram, Key, Label, Level, Metadata, SharedString, Unit, describe_counter,
    describe_gauge, describe_histogram, with_recorder,
};
use tokio::task;

use crate::preparation::Preparation;
use crate::{Error, Result};

const CONNECTIONS: &str = "db_pool_connections";
const MAX_CONNECTIONS: &str = "db_pool_max_connections";
const UNPREPARED: &str = "db_pool_unprepared_connections";
const WAITING: &str = "db_pool_waiting";
const ACQUIRE: &str = "db_pool_acquire_seconds";
const CONNECT: &str = "db_pool_connect_seconds";
const DISCONNECTS: &str = "db_pool_disconnects_total";

static METADATA: Metadata<'static> = Metadata::new("db", Level::INFO, Some(module_path!()));

/// The figures of a pool, labelled with its application's name: pools of one name add up.
///
/// The recorder is asked for at each figure, so it may come after the pool.
#[derive(Debug)]
pub(crate) struct Meter {
    pool: SharedString,
    // Made once, because each acquiring needs them.
    idle: Key,
    in_use: Key,
    waiting: Key,
    acquired: Key,
    /// The connections that are open, or still in use.
    places: Mutex<Vec<Weak<Place>>>,
}

/// Raises a gauge until it is dropped. It keeps the gauge that it raised, so that a recorder that
/// is installed later never sees the decrement alone.
#[derive(Debug)]
pub(crate) struct Counted {
    gauge: Gauge,
    amount: u32,
}

/// Where a connection is counted: among those that are in use, those that are idle, or no longer.
#[derive(Debug)]
pub(crate) struct Place {
    meter: Arc<Meter>,
    stay: Mutex<Stay>,
}

#[derive(Debug)]
struct Stay {
    in_use: bool,
    /// The task that acquired it, if it is one.
    by: Option<task::Id>,
    closed: bool,
    counted: Option<Counted>,
    unprepared: Option<Counted>,
}

/// A wait for a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    meter: &'a Meter,
    started: Instant,
    /// What came of it, and when.
    ended: Option<(&'static str, Duration)>,
    _waiting: Counted,
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Disconnect {
    /// The pool was closed.
    Closed,
    /// It was busy with an abandoned statement, or couldn't be cleaned.
    Discarded,
    /// The server or the network ended it, or it was silent.
    Lost,
    /// It was too old, idle for too long, or perhaps no longer led to the primary.
    Retired,
}

impl Meter {
    pub(crate) fn new(application_name: &str) -> Self {
        describe();
        let pool = SharedString::from(Arc::<str>::from(application_name));
        Self {
            idle: key(&pool, CONNECTIONS, Some(("state", "idle"))),
            in_use: key(&pool, CONNECTIONS, Some(("state", "in_use"))),
            waiting: key(&pool, WAITING, None),
            acquired: key(&pool, ACQUIRE, Some(("outcome", "acquired"))),
            places: Mutex::default(),
            pool,
        }
    }

    /// Counts the connections that the pool may open.
    pub(crate) fn may_open(&self, max: u32) -> Counted {
        Counted::new(&key(&self.pool, MAX_CONNECTIONS, None), max)
    }

    pub(crate) fn acquire(&self) -> Acquire<'_> {
        Acquire {
            meter: self,
            started: Instant::now(),
            ended: None,
            _waiting: Counted::new(&self.waiting, 1),
        }
    }

    /// Counts a connection whose statements are prepared nowhere; any other one as none.
    fn unprepared(&self, preparation: Preparation) -> Counted {
        let is_unprepared = preparation == Preparation::Nowhere;
        Counted::new(&key(&self.pool, UNPREPARED, None), is_unprepared.into())
    }

    fn add(&self, place: &Arc<Place>) {
        let mut places = self.places();
        places.retain(|known| known.strong_count() > 0);
        places.push(Arc::downgrade(place));
    }

    /// How many connections are in use by the task that asks.
    pub(crate) fn in_use_by_caller(&self) -> u32 {
        let places = self.places();
        let places = places.iter().filter_map(Weak::upgrade);
        let by_caller = places.filter(|place| place.is_in_use_by_caller());
        u32::try_from(by_caller.count()).unwrap_or(u32::MAX)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Weak<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected<T>(&self, after: Duration, answer: &Result<T>) {
        let outcome = match answer {
            Ok(_) => "opened",
            Err(Error::Connect { failure, .. }) => failure.label(),
            Err(_) => "tls_file",
        };
        histogram(&key(&self.pool, CONNECT, Some(("outcome", outcome)))).record(after);
    }
}

impl Counted {
    fn new(key: &Key, amount: u32) -> Self {
        let gauge = with_recorder(|recorder| recorder.register_gauge(key, &METADATA));
        gauge.increment(amount);
        Self { gauge, amount }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.decrement(self.amount);
    }
}

impl Place {
    /// The place of a connection that was just opened.
    pub(crate) fn new(meter: &Arc<Meter>, preparation: Preparation) -> Arc<Self> {
        let place = Arc::new(Self {
            stay: Mutex::new(Stay {
                in_use: false,
                by: None,
                closed: false,
                counted: Some(Counted::new(&meter.idle, 1)),
                unprepared: Some(meter.unprepared(preparation)),
            }),
            meter: Arc::clone(meter),
        });
        meter.add(&place);
        place
    }

    pub(crate) fn acquired(&self) {
        self.change(|stay| {
            stay.in_use = true;
            stay.by = task::try_id();
        });
    }

    pub(crate) fn returned(&self) {
        self.change(|stay| {
            stay.in_use = false;
            stay.by = None;
        });
    }

    /// Whether the task that asks has acquired the connection and not returned it.
    fn is_in_use_by_caller(&self) -> bool {
        let caller = task::try_id();
        caller.is_some() && self.lock().by == caller
    }

    fn lock(&self) -> MutexGuard<'_, Stay> {
        self.stay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the connection is no longer open. It may still be in use.
    pub(crate) fn closed(&self, why: Disconnect) {
        self.change(|stay| {
            stay.closed = true;
            stay.unprepared = None;
        });
        let reason = match why {
            Disconnect::Closed => "closed",
            Disconnect::Discarded => "discarded",
            Disconnect::Lost => "lost",
            Disconnect::Retired => "retired",
        };
        let labels = Some(("reason", reason));
        counter(&key(&self.meter.pool, DISCONNECTS, labels)).increment(1);
    }

    fn change(&self, change: impl FnOnce(&mut Stay)) {
        let mut stay = self.lock();
        change(&mut stay);
        stay.counted = match (stay.in_use, stay.closed) {
            (true, _) => Some(Counted::new(&self.meter.in_use, 1)),
            (false, false) => Some(Counted::new(&self.meter.idle, 1)),
            (false, true) => None,
        };
    }
}

impl Acquire<'_> {
    pub(crate) fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn ended<T>(mut self, result: &Result<T>, waited: Duration) {
        let outcome = match result {
            Ok(_) => "acquired",
            Err(Error::AcquireTimeout { .. }) => "timeout",
            Err(Error::Connecting { .. }) => "connecting",
            Err(Error::Unreachable { .. }) => "unreachable",
            Err(Error::RuntimeEnded) => "runtime_ended",
            Err(_) => "closed",
        };
        self.ended = Some((outcome, waited));
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let (outcome, waited) = self.ended.unwrap_or_else(|| ("dropped", self.waited()));
        match outcome {
            "acquired" => histogram(&self.meter.acquired),
            outcome => histogram(&key(&self.meter.pool, ACQUIRE, Some(("outcome", outcome)))),
        }
        .record(waited);
    }
}

fn key(
    pool: &SharedString,
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
) -> Key {
    let mut labels = vec![Label::new("pool", pool.clone())];
    labels.extend(label.map(|(name, value)| Label::from_static_parts(name, value)));
    Key::from_parts(name, labels)
}

fn counter(key: &Key) -> Counter {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA))
}

fn histogram(key: &Key) -> Histogram {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA))
}

/// Says what the figures mean: the table in `docs/observability.md`.
fn describe() {
    describe_gauge!(
        CONNECTIONS,
        Unit::Count,
        "Connections that are idle, and those that are in use or being cleaned after that"
    );
    describe_gauge!(
        MAX_CONNECTIONS,
        Unit::Count,
        "How many connections the pool may open"
    );
    describe_gauge!(
        UNPREPARED,
        Unit::Count,
        "Open connections behind a pooler that lets no statement be prepared"
    );
    describe_gauge!(WAITING, Unit::Count, "Callers that wait for a connection");
    describe_histogram!(
        ACQUIRE,
        Unit::Seconds,
        "How long callers waited for a connection, and what came of it"
    );
    describe_histogram!(
        CONNECT,
        Unit::Seconds,
        "How long attempts to open a connection took, and what came of them"
    );
    describe_counter!(
        DISCONNECTS,
        Unit::Count,
        "Connections that were closed, and why"
    );
}

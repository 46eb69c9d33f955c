//! Each variable with its name, its default and its bounds, and how one is read.

use std::mem;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Problems;
use crate::given::{Entry, Given};
use crate::schema::{SCHEMA_NAME, is_schema_name};
use crate::value::{Limit, Rule, Times, Value, Whole};
use crate::{ChannelBinding, PoolMode, RootCertificates, TargetSessionAttrs, TlsMode};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Every variable that is looked at, in the order of the table in the docs.
pub(crate) const NAMES: [&str; 21] = [
    DATABASE_URL,
    POOL_MIN.name,
    POOL_MAX.name,
    ACQUIRE_TIMEOUT.name,
    CONNECT_TIMEOUT.name,
    STARTUP_TIMEOUT.name,
    STATEMENT_TIMEOUT.name,
    NETWORK_TIMEOUT.name,
    RETRY_TIMEOUT.name,
    RETRY_ATTEMPTS.name,
    RETRY_PAUSE.name,
    IDLE_TIMEOUT.name,
    MAX_LIFETIME.name,
    APPLICATION_NAME.name,
    SCHEMA.name,
    SSLMODE.name,
    SSLROOTCERT.name,
    SSLCERT.name,
    SSLKEY.name,
    CHANNEL_BINDING.name,
    POOL_MODE.name,
];

pub(crate) const DATABASE_URL: &str = "DATABASE_URL";

pub(crate) const URL_IS_EMPTY: &str =
    "a URL such as `postgres://user:password@host/dbname`: it is empty";

pub(crate) const POOL_MIN: Variable<u32> = Variable {
    name: "DB_POOL_MIN",
    entry: |given| &mut given.db_pool_min,
    parameter: None,
    default: 1,
    bounds: Whole {
        what: "a whole number",
        range: 0..=1000,
    },
};

pub(crate) const POOL_MAX: Variable<u32> = Variable {
    name: "DB_POOL_MAX",
    entry: |given| &mut given.db_pool_max,
    parameter: None,
    default: 10,
    bounds: Whole {
        what: "a whole number",
        range: 1..=1000,
    },
};

pub(crate) const ACQUIRE_TIMEOUT: Variable<Duration> = Variable {
    name: "DB_ACQUIRE_TIMEOUT",
    entry: |given| &mut given.db_acquire_timeout,
    parameter: None,
    default: Duration::from_secs(5),
    bounds: Times {
        range: MS..=HOUR,
        or_zero: false,
    },
};

/// Its parameter is [`CONNECT_TIMEOUT_SECONDS`], because libpq writes it without a unit.
pub(crate) const CONNECT_TIMEOUT: Variable<Duration> = Variable {
    name: "DB_CONNECT_TIMEOUT",
    entry: |given| &mut given.db_connect_timeout,
    parameter: None,
    default: Duration::from_secs(5),
    bounds: Times {
        range: MS..=HOUR,
        or_zero: false,
    },
};

pub(crate) const STARTUP_TIMEOUT: Variable<Duration> = Variable {
    name: "DB_STARTUP_TIMEOUT",
    entry: |given| &mut given.db_startup_timeout,
    parameter: None,
    default: Duration::from_secs(30),
    bounds: Times {
        range: MS..=HOUR,
        or_zero: true,
    },
};

pub(crate) const STATEMENT_TIMEOUT: Variable<Limit> = Variable {
    name: "DB_STATEMENT_TIMEOUT",
    entry: |given| &mut given.db_statement_timeout,
    parameter: None,
    default: Limit(Some(Duration::from_secs(30))),
    bounds: MS..=DAY,
};

pub(crate) const NETWORK_TIMEOUT: Variable<Duration> = Variable {
    name: "DB_NETWORK_TIMEOUT",
    entry: |given| &mut given.db_network_timeout,
    parameter: None,
    default: Duration::from_secs(10),
    bounds: Times {
        range: Duration::from_millis(100)..=HOUR,
        or_zero: false,
    },
};

pub(crate) const RETRY_TIMEOUT: Variable<Duration> = Variable {
    name: "DB_RETRY_TIMEOUT",
    entry: |given| &mut given.db_retry_timeout,
    parameter: None,
    default: Duration::from_secs(30),
    bounds: Times {
        range: MS..=HOUR,
        or_zero: true,
    },
};

pub(crate) const RETRY_ATTEMPTS: Variable<u32> = Variable {
    name: "DB_RETRY_ATTEMPTS",
    entry: |given| &mut given.db_retry_attempts,
    parameter: None,
    default: 100,
    bounds: Whole {
        what: "a whole number",
        range: 1..=10_000,
    },
};

pub(crate) const RETRY_PAUSE: Variable<Duration> = Variable {
    name: "DB_RETRY_PAUSE",
    entry: |given| &mut given.db_retry_pause,
    parameter: None,
    default: Duration::from_secs(2),
    bounds: Times {
        range: MS..=HOUR,
        or_zero: false,
    },
};

pub(crate) const IDLE_TIMEOUT: Variable<Limit> = Variable {
    name: "DB_IDLE_TIMEOUT",
    entry: |given| &mut given.db_idle_timeout,
    parameter: None,
    default: Limit(Some(Duration::from_secs(10 * 60))),
    bounds: SECOND..=DAY,
};

pub(crate) const MAX_LIFETIME: Variable<Limit> = Variable {
    name: "DB_MAX_LIFETIME",
    entry: |given| &mut given.db_max_lifetime,
    parameter: None,
    default: Limit(Some(Duration::from_secs(30 * 60))),
    bounds: SECOND..=DAY,
};

pub(crate) const APPLICATION_NAME: Variable<Option<String>> = Variable {
    name: "DB_APPLICATION_NAME",
    entry: |given| &mut given.db_application_name,
    parameter: Some("application_name"),
    default: None,
    // The server cuts off the rest and puts `?` for other characters.
    bounds: Rule {
        expected: "1 to 63 bytes of printable ASCII",
        is_kept: |text| {
            let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            printable && (1..=63).contains(&text.len())
        },
    },
};

pub(crate) const SCHEMA: Variable<Option<String>> = Variable {
    name: "DB_SCHEMA",
    entry: |given| &mut given.db_schema,
    parameter: None,
    default: None,
    bounds: Rule {
        expected: SCHEMA_NAME,
        is_kept: is_schema_name,
    },
};

pub(crate) const SSLMODE: Variable<TlsMode> = Variable {
    name: "DB_SSLMODE",
    entry: |given| &mut given.db_sslmode,
    parameter: Some("sslmode"),
    default: TlsMode::Prefer,
    bounds: (),
};

pub(crate) const SSLROOTCERT: Variable<Option<RootCertificates>> = Variable {
    name: "DB_SSLROOTCERT",
    entry: |given| &mut given.db_sslrootcert,
    parameter: Some("sslrootcert"),
    default: None,
    bounds: (),
};

pub(crate) const SSLCERT: Variable<Option<PathBuf>> = Variable {
    name: "DB_SSLCERT",
    entry: |given| &mut given.db_sslcert,
    parameter: Some("sslcert"),
    default: None,
    bounds: (),
};

pub(crate) const SSLKEY: Variable<Option<PathBuf>> = Variable {
    name: "DB_SSLKEY",
    entry: |given| &mut given.db_sslkey,
    parameter: Some("sslkey"),
    default: None,
    bounds: (),
};

pub(crate) const CHANNEL_BINDING: Variable<ChannelBinding> = Variable {
    name: "DB_CHANNEL_BINDING",
    entry: |given| &mut given.db_channel_binding,
    parameter: Some("channel_binding"),
    default: ChannelBinding::Prefer,
    bounds: (),
};

pub(crate) const POOL_MODE: Variable<PoolMode> = Variable {
    name: "DB_POOL_MODE",
    entry: |given| &mut given.db_pool_mode,
    parameter: None,
    default: PoolMode::Session,
    bounds: (),
};

/// The parameter that [`CONNECT_TIMEOUT`] beats.
pub(crate) const CONNECT_TIMEOUT_SECONDS: Parameter<u32> = Parameter {
    name: "connect_timeout",
    bounds: Whole {
        what: "whole seconds",
        range: 1..=3600,
    },
};

/// The parameter that [`POOL_MODE`] beats: Prisma's word for a pooler in transaction mode.
pub(crate) const PGBOUNCER: Parameter<bool> = Parameter {
    name: "pgbouncer",
    bounds: (),
};

pub(crate) const TARGET_SESSION_ATTRS: Parameter<TargetSessionAttrs> = Parameter {
    name: "target_session_attrs",
    bounds: (),
};

/// A variable, and the parameter of the URL that says the same.
#[derive(Debug)]
pub(crate) struct Variable<T: Value> {
    pub(crate) name: &'static str,
    /// Where that which is given of it is kept.
    pub(crate) entry: fn(&mut Given) -> &mut Entry<T>,
    /// The parameter that it beats.
    pub(crate) parameter: Option<&'static str>,
    pub(crate) default: T,
    pub(crate) bounds: T::Bounds,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    Parameter,
    Variable,
}

impl<T: Value> Variable<T> {
    /// Takes what is given of the variable, or else of its parameter: one that is beaten isn't
    /// looked at. A wrong value is a problem, and gives the default, so that reading goes on.
    pub(crate) fn read(self, given: &mut Given, problems: &mut Problems) -> T {
        let origin = self.origin(given);
        let value = match (mem::take((self.entry)(given)), self.text(given)) {
            (Entry::Value(value), _) => Some(value),
            (Entry::Malformed, _) => None,
            (Entry::Missing, Some(text)) => T::parse(text),
            (Entry::Missing, None) => return self.default,
        };
        if let Some(value) = value.filter(|value| value.is_within(&self.bounds)) {
            return value;
        }
        self.report(origin, T::expected(&self.bounds), problems);
        self.default
    }

    pub(crate) fn origin(&self, given: &mut Given) -> Origin {
        let is_set = !matches!((self.entry)(given), Entry::Missing);
        match self.text(given) {
            _ if is_set => Origin::Variable,
            Some(_) => Origin::Parameter,
            None => Origin::Default,
        }
    }

    /// Says what was expected of the variable, or of its parameter unless it is a variable that is
    /// wrong.
    pub(crate) fn report(
        &self,
        origin: Origin,
        expected: impl Into<String>,
        problems: &mut Problems,
    ) {
        match self.parameter {
            Some(parameter) if origin != Origin::Variable => {
                problems.add_parameter(parameter, expected);
            }
            _ => problems.add(self.name, expected),
        }
    }

    /// The parameter's text.
    fn text<'a>(&self, given: &'a Given) -> Option<&'a str> {
        given.parameters.get(self.parameter?)
    }
}

/// A parameter of the URL without a variable of its kind.
#[derive(Debug)]
pub(crate) struct Parameter<T: Value> {
    name: &'static str,
    bounds: T::Bounds,
}

impl<T: Value> Parameter<T> {
    /// Reads the parameter if there is one; a wrong value is a problem.
    pub(crate) fn read(&self, given: &Given, problems: &mut Problems) -> Option<T> {
        let text = given.parameters.get(self.name)?;
        let value = T::parse(text).filter(|value| value.is_within(&self.bounds));
        if value.is_none() {
            problems.add_parameter(self.name, T::expected(&self.bounds));
        }
        value
    }
}

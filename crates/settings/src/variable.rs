use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::{
    ChannelBinding, PoolMode, RootCertificates, TargetSessionAttrs, TlsMode, duration,
    error::Problems,
};

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

pub(crate) const POOL_MIN: Variable<u32> = Variable {
    name: "DB_POOL_MIN",
    parameter: None,
    default: || 1,
    expected: "a whole number from 0 to `DB_POOL_MAX`",
    parse: |text| whole_number(text, 0..=1000),
};

pub(crate) const POOL_MAX: Variable<u32> = Variable {
    name: "DB_POOL_MAX",
    parameter: None,
    default: || 10,
    expected: "a whole number from 1 to 1000",
    parse: |text| whole_number(text, 1..=1000),
};

pub(crate) const ACQUIRE_TIMEOUT: Time = Time {
    name: "DB_ACQUIRE_TIMEOUT",
    default: Duration::from_secs(5),
    min: Duration::from_millis(1),
    max: HOUR,
    zero: Zero::Refused,
};

pub(crate) const CONNECT_TIMEOUT: Time = Time {
    name: "DB_CONNECT_TIMEOUT",
    default: Duration::from_secs(5),
    min: Duration::from_millis(1),
    max: HOUR,
    zero: Zero::Refused,
};

/// The URL's counterpart of [`CONNECT_TIMEOUT`], in libpq's seconds.
pub(crate) const CONNECT_TIMEOUT_SECONDS: Variable<Duration> = Variable {
    name: DATABASE_URL,
    parameter: Some("connect_timeout"),
    default: || CONNECT_TIMEOUT.default,
    expected: "whole seconds from 1 to 3600",
    parse: |text| whole_number(text, 1..=3600).map(|seconds| Duration::from_secs(seconds.into())),
};

pub(crate) const STARTUP_TIMEOUT: Time = Time {
    name: "DB_STARTUP_TIMEOUT",
    default: Duration::from_secs(30),
    min: Duration::from_millis(1),
    max: HOUR,
    zero: Zero::Allowed,
};

pub(crate) const STATEMENT_TIMEOUT: Time = Time {
    name: "DB_STATEMENT_TIMEOUT",
    default: Duration::from_secs(30),
    min: Duration::from_millis(1),
    max: DAY,
    zero: Zero::Off,
};

pub(crate) const NETWORK_TIMEOUT: Time = Time {
    name: "DB_NETWORK_TIMEOUT",
    default: Duration::from_secs(10),
    min: Duration::from_millis(100),
    max: HOUR,
    zero: Zero::Refused,
};

pub(crate) const RETRY_TIMEOUT: Time = Time {
    name: "DB_RETRY_TIMEOUT",
    default: Duration::from_secs(30),
    min: Duration::from_millis(1),
    max: HOUR,
    zero: Zero::Allowed,
};

pub(crate) const RETRY_ATTEMPTS: Variable<u32> = Variable {
    name: "DB_RETRY_ATTEMPTS",
    parameter: None,
    default: || 100,
    expected: "a whole number from 1 to 10000",
    parse: |text| whole_number(text, 1..=10_000),
};

pub(crate) const RETRY_PAUSE: Time = Time {
    name: "DB_RETRY_PAUSE",
    default: Duration::from_secs(2),
    min: Duration::from_millis(1),
    max: HOUR,
    zero: Zero::Refused,
};

pub(crate) const IDLE_TIMEOUT: Time = Time {
    name: "DB_IDLE_TIMEOUT",
    default: Duration::from_secs(10 * 60),
    min: Duration::from_secs(1),
    max: DAY,
    zero: Zero::Off,
};

pub(crate) const MAX_LIFETIME: Time = Time {
    name: "DB_MAX_LIFETIME",
    default: Duration::from_secs(30 * 60),
    min: Duration::from_secs(1),
    max: DAY,
    zero: Zero::Off,
};

pub(crate) const APPLICATION_NAME: Variable<String> = Variable {
    name: "DB_APPLICATION_NAME",
    parameter: Some("application_name"),
    default: || "checkpointer".to_owned(),
    // The server cuts off the rest and puts `?` for other characters.
    expected: "1 to 63 bytes of printable ASCII",
    parse: |text| {
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        (printable && (1..=63).contains(&text.len())).then(|| text.to_owned())
    },
};

pub(crate) const SCHEMA: Variable<String> = Variable {
    name: "DB_SCHEMA",
    parameter: None,
    default: || "checkpointer".to_owned(),
    // The server cuts off the rest and keeps `pg_` for itself.
    expected: "1 to 63 bytes without NUL, not beginning with `pg_`",
    parse: |text| {
        let allowed = !text.contains('\0') && !text.starts_with("pg_");
        (allowed && (1..=63).contains(&text.len())).then(|| text.to_owned())
    },
};

pub(crate) const SSLMODE: Variable<TlsMode> = Variable {
    name: "DB_SSLMODE",
    parameter: Some("sslmode"),
    default: TlsMode::default,
    expected: "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`",
    parse: TlsMode::parse,
};

pub(crate) const SSLROOTCERT: Variable<Option<RootCertificates>> = Variable {
    name: "DB_SSLROOTCERT",
    parameter: Some("sslrootcert"),
    default: || None,
    expected: "a file's path or `system`",
    parse: |text| match text {
        "system" => Some(Some(RootCertificates::System)),
        _ => path(text).map(|path| path.map(RootCertificates::File)),
    },
};

pub(crate) const SSLCERT: Variable<Option<PathBuf>> = Variable {
    name: "DB_SSLCERT",
    parameter: Some("sslcert"),
    default: || None,
    expected: "a file's path",
    parse: path,
};

pub(crate) const SSLKEY: Variable<Option<PathBuf>> = Variable {
    name: "DB_SSLKEY",
    parameter: Some("sslkey"),
    default: || None,
    expected: "a file's path",
    parse: path,
};

pub(crate) const CHANNEL_BINDING: Variable<ChannelBinding> = Variable {
    name: "DB_CHANNEL_BINDING",
    parameter: Some("channel_binding"),
    default: ChannelBinding::default,
    expected: "`disable`, `prefer` or `require`",
    parse: ChannelBinding::parse,
};

pub(crate) const POOL_MODE: Variable<PoolMode> = Variable {
    name: "DB_POOL_MODE",
    parameter: None,
    default: PoolMode::default,
    expected: "`session` or `transaction`",
    parse: PoolMode::parse,
};

pub(crate) const TARGET_SESSION_ATTRS: Variable<TargetSessionAttrs> = Variable {
    name: DATABASE_URL,
    parameter: Some("target_session_attrs"),
    default: TargetSessionAttrs::default,
    expected: "`any`, `read-write`, `read-only`, `primary`, `standby` or `prefer-standby`",
    parse: TargetSessionAttrs::parse,
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A variable, or a parameter of the URL, or both.
#[derive(Debug)]
pub(crate) struct Variable<T> {
    pub(crate) name: &'static str,
    pub(crate) parameter: Option<&'static str>,
    default: fn() -> T,
    pub(crate) expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Variable<T> {
    /// Parses the variable's text, or else the parameter's: one that is beaten
    /// isn't looked at. What can't be parsed is a problem, and gives the
    /// default, so that reading goes on.
    pub(crate) fn read(
        &self,
        variable: Option<&str>,
        parameter: Option<&str>,
        problems: &mut Problems,
    ) -> T {
        let Some(text) = variable.or(parameter) else {
            return (self.default)();
        };
        (self.parse)(text).unwrap_or_else(|| {
            self.report(variable, self.expected, problems);
            (self.default)()
        })
    }

    /// Says what was expected of the parameter, if it is in the URL that
    /// something is wrong, or else of the variable.
    pub(crate) fn report(
        &self,
        variable: Option<&str>,
        expected: &'static str,
        problems: &mut Problems,
    ) {
        match self.parameter {
            Some(parameter) if variable.is_none() => problems.add_parameter(parameter, expected),
            _ => problems.add(self.name, expected),
        }
    }
}

/// A variable that holds a duration.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) name: &'static str,
    pub(crate) default: Duration,
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    pub(crate) zero: Zero,
}

/// What a duration of zero means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Zero {
    /// Nothing.
    Refused,
    /// Itself.
    Allowed,
    /// No limit, for which there is also the word `off`.
    Off,
}

impl Time {
    pub(crate) fn read(&self, text: Option<&str>, problems: &mut Problems) -> Duration {
        let Some(text) = text else {
            return self.default;
        };
        let duration = match (text, self.zero) {
            ("off", Zero::Off) | ("0", Zero::Off | Zero::Allowed) => Some(Duration::ZERO),
            _ => duration::parse(text),
        };
        match duration {
            Some(duration) if self.allows(duration) => duration,
            _ => {
                let bounds = self.bounds();
                problems.add(
                    self.name,
                    format!("a duration with its unit (`500ms`, `5s`, `2min`, `1h`) from {bounds}"),
                );
                self.default
            }
        }
    }

    /// Reads a limit that may be off.
    pub(crate) fn read_limit(
        &self,
        text: Option<&str>,
        problems: &mut Problems,
    ) -> Option<Duration> {
        let duration = self.read(text, problems);
        (!duration.is_zero()).then_some(duration)
    }

    pub(crate) fn bounds(&self) -> String {
        let (min, max) = (duration::written(self.min), duration::written(self.max));
        let zero = match self.zero {
            Zero::Refused => "",
            Zero::Allowed => ", or `0`",
            Zero::Off => ", or `off`",
        };
        format!("`{min}` to `{max}`{zero}")
    }

    fn allows(&self, duration: Duration) -> bool {
        let zero = duration.is_zero() && !matches!(self.zero, Zero::Refused);
        zero || (self.min..=self.max).contains(&duration)
    }
}

fn whole_number(text: &str, bounds: RangeInclusive<u32>) -> Option<u32> {
    text.parse().ok().filter(|number| bounds.contains(number))
}

fn path(text: &str) -> Option<Option<PathBuf>> {
    let is_path = !text.is_empty() && !text.contains('\0');
    is_path.then(|| Some(PathBuf::from(text)))
}

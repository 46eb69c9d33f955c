//! Settings made in code.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Problems;
use crate::given::{Entry, Given};
use crate::value::{Limit, Value};
use crate::variable::{
    ACQUIRE_TIMEOUT, APPLICATION_NAME, CHANNEL_BINDING, CONNECT_TIMEOUT, IDLE_TIMEOUT,
    MAX_LIFETIME, NETWORK_TIMEOUT, POOL_MAX, POOL_MIN, POOL_MODE, RETRY_ATTEMPTS, RETRY_PAUSE,
    RETRY_TIMEOUT, SCHEMA, SSLCERT, SSLKEY, SSLMODE, SSLROOTCERT, STARTUP_TIMEOUT,
    STATEMENT_TIMEOUT, Variable,
};
use crate::{ChannelBinding, PoolMode, Result, RootCertificates, Settings, TlsMode};

/// Makes [`Settings`] in code: a URL, and what the variables would say.
///
/// Each method stands for a variable, and beats the URL's parameter of its kind as that does.
/// [`build`](Self::build) checks everything as if it came from the environment, which is not looked
/// at.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use settings::Settings;
///
/// # fn main() -> settings::Result<()> {
/// let settings = Settings::builder("postgres://app:hunter2@db.internal/agents")
///     .pool_max(20)
///     .statement_timeout(Duration::from_secs(120))
///     .max_lifetime(None)
///     .build()?;
///
/// assert_eq!(settings.pool_max(), 20);
/// assert_eq!(settings.max_lifetime(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing unless `build` is called"]
pub struct Builder {
    given: Given,
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        let given = Given {
            database_url: Entry::Value(url),
            ..Given::default()
        };
        Self { given }
    }

    /// Checks everything.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) with everything that is wrong, each under the name
    /// of its variable.
    pub fn build(self) -> Result<Settings> {
        Settings::check(self.given, Problems::default())
    }

    /// Sets [`Settings::pool_min`] (`DB_POOL_MIN`), from 0 to [`pool_max`](Self::pool_max).
    /// Defaults to 1.
    pub fn pool_min(self, connections: u32) -> Self {
        self.with(POOL_MIN, connections)
    }

    /// Sets [`Settings::pool_max`] (`DB_POOL_MAX`), from 1 to 1000. Defaults to 10.
    pub fn pool_max(self, connections: u32) -> Self {
        self.with(POOL_MAX, connections)
    }

    /// Sets [`Settings::acquire_timeout`] (`DB_ACQUIRE_TIMEOUT`), from a millisecond to an hour.
    /// Defaults to 5 seconds.
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        self.with(ACQUIRE_TIMEOUT, timeout)
    }

    /// Sets [`Settings::connect_timeout`] (`DB_CONNECT_TIMEOUT`), from a millisecond to an hour.
    /// Defaults to 5 seconds.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.with(CONNECT_TIMEOUT, timeout)
    }

    /// Sets [`Settings::startup_timeout`] (`DB_STARTUP_TIMEOUT`), from a millisecond to an hour, or
    /// zero. Defaults to 30 seconds.
    pub fn startup_timeout(self, timeout: Duration) -> Self {
        self.with(STARTUP_TIMEOUT, timeout)
    }

    /// Sets [`Settings::statement_timeout`] (`DB_STATEMENT_TIMEOUT`), from a millisecond to a day,
    /// or `None` for no limit. Defaults to 30 seconds.
    pub fn statement_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(STATEMENT_TIMEOUT, Limit(timeout.into()))
    }

    /// Sets [`Settings::network_timeout`] (`DB_NETWORK_TIMEOUT`), from 100 milliseconds to an hour.
    /// Defaults to 10 seconds.
    pub fn network_timeout(self, timeout: Duration) -> Self {
        self.with(NETWORK_TIMEOUT, timeout)
    }

    /// Sets [`Settings::retry_timeout`] (`DB_RETRY_TIMEOUT`), from a millisecond to an hour, or
    /// zero. Defaults to 30 seconds.
    pub fn retry_timeout(self, timeout: Duration) -> Self {
        self.with(RETRY_TIMEOUT, timeout)
    }

    /// Sets [`Settings::retry_attempts`] (`DB_RETRY_ATTEMPTS`), from 1 to 10000. Defaults to 100.
    pub fn retry_attempts(self, attempts: u32) -> Self {
        self.with(RETRY_ATTEMPTS, attempts)
    }

    /// Sets [`Settings::retry_pause`] (`DB_RETRY_PAUSE`), from a millisecond to an hour. Defaults
    /// to 2 seconds.
    pub fn retry_pause(self, pause: Duration) -> Self {
        self.with(RETRY_PAUSE, pause)
    }

    /// Sets [`Settings::idle_timeout`] (`DB_IDLE_TIMEOUT`), from a second to a day, or `None` for
    /// no limit. Defaults to 10 minutes.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(IDLE_TIMEOUT, Limit(timeout.into()))
    }

    /// Sets [`Settings::max_lifetime`] (`DB_MAX_LIFETIME`), from a second to a day, or `None` for
    /// no limit. Defaults to 30 minutes.
    pub fn max_lifetime(self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.with(MAX_LIFETIME, Limit(lifetime.into()))
    }

    /// Sets [`Settings::application_name`] (`DB_APPLICATION_NAME`), 1 to 63 bytes of printable
    /// ASCII. Defaults to the file name of the running program.
    pub fn application_name(self, name: impl Into<String>) -> Self {
        self.with(APPLICATION_NAME, Some(name.into()))
    }

    /// Sets [`Settings::schema`] (`DB_SCHEMA`), 1 to 63 bytes that don't begin with `pg_`. Defaults
    /// to none: each set of tables then has a schema of its own.
    pub fn schema(self, name: impl Into<String>) -> Self {
        self.with(SCHEMA, Some(name.into()))
    }

    /// Sets [`Settings::tls_mode`] (`DB_SSLMODE`). Defaults to [`TlsMode::Prefer`], or to
    /// [`TlsMode::VerifyFull`] with [`RootCertificates::System`].
    pub fn tls_mode(self, mode: TlsMode) -> Self {
        self.with(SSLMODE, mode)
    }

    /// Sets [`Settings::root_certificates`] (`DB_SSLROOTCERT`). Defaults to none.
    pub fn root_certificates(self, certificates: RootCertificates) -> Self {
        self.with(SSLROOTCERT, Some(certificates))
    }

    /// Sets [`Settings::client_certificate`] (`DB_SSLCERT` and `DB_SSLKEY`), the paths of two PEM
    /// files. Defaults to none.
    pub fn client_certificate(
        self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.with(SSLCERT, Some(certificate.into()))
            .with(SSLKEY, Some(key.into()))
    }

    /// Sets [`Settings::channel_binding`] (`DB_CHANNEL_BINDING`). Defaults to
    /// [`ChannelBinding::Prefer`].
    pub fn channel_binding(self, binding: ChannelBinding) -> Self {
        self.with(CHANNEL_BINDING, binding)
    }

    /// Sets [`Settings::pool_mode`] (`DB_POOL_MODE`). Defaults to [`PoolMode::Session`].
    pub fn pool_mode(self, mode: PoolMode) -> Self {
        self.with(POOL_MODE, mode)
    }

    fn with<T: Value>(mut self, variable: Variable<T>, value: T) -> Self {
        *(variable.entry)(&mut self.given) = Entry::Value(value);
        self
    }
}

/// Shows no value, for the URL may hold a password.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

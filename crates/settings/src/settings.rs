//! The settings: where they are read from, and what they say.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::connection_url::ConnectionUrl;
use crate::dotenv;
use crate::error::Problems;
use crate::given::{Entry, Given};
use crate::program;
use crate::tls::Tls;
use crate::variable::{
    ACQUIRE_TIMEOUT, APPLICATION_NAME, CONNECT_TIMEOUT, CONNECT_TIMEOUT_SECONDS, DATABASE_URL,
    IDLE_TIMEOUT, MAX_LIFETIME, NETWORK_TIMEOUT, Origin, PGBOUNCER, POOL_MAX, POOL_MIN, POOL_MODE,
    RETRY_ATTEMPTS, RETRY_PAUSE, RETRY_TIMEOUT, SCHEMA, STARTUP_TIMEOUT, STATEMENT_TIMEOUT,
    TARGET_SESSION_ATTRS,
};
use crate::{
    Builder, ChannelBinding, ClientCertificate, Error, Host, PoolMode, Result, RootCertificates,
    Secret, TargetSessionAttrs, TlsMode,
};

/// What the environment says about the database.
///
/// The [crate's docs](crate#variables) say what each variable means, its default and its bounds.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> settings::Result<()> {
/// let settings = settings::Settings::load()?;
/// println!("connecting to {} as {}", settings.hosts()[0], settings.user());
/// # Ok(())
/// # }
/// ```
// The derived `Debug` is safe because each field that may hold a secret is a `Secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    hosts: Vec<Host>,
    user: String,
    password: Option<Secret>,
    dbname: String,
    pool_min: u32,
    pool_max: u32,
    acquire_timeout: Duration,
    connect_timeout: Duration,
    startup_timeout: Duration,
    statement_timeout: Option<Duration>,
    network_timeout: Duration,
    retry_timeout: Duration,
    retry_attempts: u32,
    retry_pause: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    application_name: String,
    schema: Option<String>,
    tls: Tls,
    pool_mode: PoolMode,
    options: Option<Secret>,
    target_session_attrs: TargetSessionAttrs,
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong.
    pub fn from_env() -> Result<Self> {
        Self::read(env::vars_os(), Problems::default())
    }

    /// Reads the `.env` file of the current folder, or else of the nearest one above it that has
    /// one, and the environment of this process.
    ///
    /// A variable that is set wins over the file, even if it is set to nothing. The file may be
    /// missing. The environment stays as it is. The [crate's docs](crate#the-env-file) say how the
    /// file is written.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong; [`Error::ReadDotenv`] if the
    /// file is there but can't be read.
    pub fn load() -> Result<Self> {
        Self::load_or([])
    }

    /// Does the same with other defaults for some variables. A program that a person waits for has less
    /// patience than a service, for example.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use settings::Settings;
    /// let settings = Settings::load_or([("DB_STARTUP_TIMEOUT", "5s")])?;
    /// # Ok::<(), settings::Error>(())
    /// ```
    pub fn load_or(
        defaults: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Result<Self> {
        let dir = env::current_dir().map_err(|source| Error::ReadDotenv {
            path: PathBuf::from(".env"),
            source,
        })?;
        Self::load_from(&dir, defaults, env::vars_os())
    }

    /// Reads a URL; everything else has its default.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong, under the name of
    /// `DATABASE_URL`.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::builder(url).build()
    }

    /// Begins to make settings in code, for a program that has them from somewhere else. The
    /// environment is not looked at.
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref().trim().to_owned())
    }

    /// Reads names and values, of which only `DATABASE_URL` and `DB_*` are looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong.
    #[expect(
        clippy::should_implement_trait,
        reason = "reading may fail, and the trait's function may not"
    )]
    pub fn from_iter(
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Result<Self> {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into().into(), value.into().into()));
        Self::read(variables, Problems::default())
    }

    pub(crate) fn load_from(
        dir: &Path,
        defaults: impl IntoIterator<Item = (&'static str, &'static str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let mut problems = Problems::default();
        let environment: Vec<_> = environment.into_iter().collect();
        let file = dotenv::read(dir, &environment, &mut problems)?;
        let defaults = defaults.into_iter();
        let defaults = defaults.map(|(name, value)| (name.into(), value.into()));
        Self::read(defaults.chain(file).chain(environment), problems)
    }

    pub(crate) fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        mut problems: Problems,
    ) -> Result<Self> {
        let given = Given::read(variables, &mut problems);
        Self::check(given, problems)
    }

    /// Looks at all of it before it reports the problems, so that one attempt finds them all.
    pub(crate) fn check(given: Given, mut problems: Problems) -> Result<Self> {
        let settings = Self::take(given, &mut problems);
        settings.check_pool_min(&mut problems);
        settings.check_options(&mut problems);
        problems.finish(settings)
    }

    fn take(mut given: Given, problems: &mut Problems) -> Self {
        let given = &mut given;
        let url = read_url(given, problems);
        Self {
            hosts: url.hosts,
            user: url.user,
            password: url.password,
            dbname: url.dbname,
            pool_min: POOL_MIN.read(given, problems),
            pool_max: POOL_MAX.read(given, problems),
            acquire_timeout: ACQUIRE_TIMEOUT.read(given, problems),
            connect_timeout: read_connect_timeout(given, problems),
            startup_timeout: STARTUP_TIMEOUT.read(given, problems),
            statement_timeout: STATEMENT_TIMEOUT.read(given, problems).0,
            network_timeout: NETWORK_TIMEOUT.read(given, problems),
            retry_timeout: RETRY_TIMEOUT.read(given, problems),
            retry_attempts: RETRY_ATTEMPTS.read(given, problems),
            retry_pause: RETRY_PAUSE.read(given, problems),
            idle_timeout: IDLE_TIMEOUT.read(given, problems).0,
            max_lifetime: MAX_LIFETIME.read(given, problems).0,
            application_name: APPLICATION_NAME
                .read(given, problems)
                .unwrap_or_else(program::name),
            schema: SCHEMA.read(given, problems),
            tls: Tls::read(given, problems),
            pool_mode: read_pool_mode(given, problems),
            options: given.parameters.filled("options").map(Secret::new),
            target_session_attrs: TARGET_SESSION_ATTRS
                .read(given, problems)
                .unwrap_or_default(),
        }
    }

    fn check_pool_min(&self, problems: &mut Problems) {
        // Of a maximum that is wrong, nothing is known here.
        if self.pool_min > self.pool_max && !problems.are_about(POOL_MAX.name) {
            problems.add(POOL_MIN.name, "a whole number from 0 to `DB_POOL_MAX`");
        }
    }

    fn check_options(&self, problems: &mut Problems) {
        let options = self.options().unwrap_or_default();
        if self.pool_mode == PoolMode::Transaction && !are_for_proxy(options) {
            problems.add_parameter(
                "options",
                "not to be set in pool mode `transaction`; a pooler such as PgBouncer refuses it",
            );
        }
    }
}

/// Takes the URL apart; its parameters are given from then on.
fn read_url(given: &mut Given, problems: &mut Problems) -> ConnectionUrl {
    if let Entry::Value(url) = &given.database_url {
        let url = ConnectionUrl::parse(url, problems);
        given.parameters = url.parameters.clone();
        return url;
    }
    if !problems.are_about(DATABASE_URL) {
        problems.add(
            DATABASE_URL,
            "a URL such as `postgres://user:password@host/dbname`: it is not set",
        );
    }
    ConnectionUrl::default()
}

/// Reads the variable, or else the parameter, which libpq writes in seconds.
fn read_connect_timeout(given: &mut Given, problems: &mut Problems) -> Duration {
    if CONNECT_TIMEOUT.origin(given) == Origin::Default
        && let Some(seconds) = CONNECT_TIMEOUT_SECONDS.read(given, problems)
    {
        return Duration::from_secs(seconds.into());
    }
    CONNECT_TIMEOUT.read(given, problems)
}

/// Reads the variable, or else the parameter, which says whether there is a pooler.
fn read_pool_mode(given: &mut Given, problems: &mut Problems) -> PoolMode {
    if POOL_MODE.origin(given) == Origin::Default && PGBOUNCER.read(given, problems) == Some(true) {
        return PoolMode::Transaction;
    }
    POOL_MODE.read(given, problems)
}

/// Whether the options only tell Neon's proxy which endpoint is meant. It takes them out before it
/// connects to the pooler.
fn are_for_proxy(options: &str) -> bool {
    let mut words = options.split_ascii_whitespace();
    words.all(|word| word.starts_with("endpoint=") || word.starts_with("project="))
}

impl Settings {
    /// The servers to try, in this order; at least one.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The role to connect as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The role's password, if one is given.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The database. Defaults to the user's name.
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// Connections the pool keeps idle, besides those in use; at most [`pool_max`](Self::pool_max).
    /// Defaults to 1.
    pub fn pool_min(&self) -> u32 {
        self.pool_min
    }

    /// Connections the pool opens at most, 1 or more. Defaults to 10.
    pub fn pool_max(&self) -> u32 {
        self.pool_max
    }

    /// How long a caller waits for a connection. Defaults to 5 seconds.
    pub fn acquire_timeout(&self) -> Duration {
        self.acquire_timeout
    }

    /// How long one attempt to connect to one host may take. Defaults to 5 seconds.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long an unreachable server is tried again at start-up; zero is one attempt. Defaults to
    /// 30 seconds.
    pub fn startup_timeout(&self) -> Duration {
        self.startup_timeout
    }

    /// How long a statement may run, if there is a limit. Defaults to 30 seconds.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }

    /// How long an answer may be overdue before its connection is closed: that of a statement after
    /// [`statement_timeout`](Self::statement_timeout), and that of the other system to what was
    /// sent. Defaults to 10 seconds.
    pub fn network_timeout(&self) -> Duration {
        self.network_timeout
    }

    /// For how long an operation that may be repeated is tried again after a transient failure;
    /// zero is one attempt. Defaults to 30 seconds.
    pub fn retry_timeout(&self) -> Duration {
        self.retry_timeout
    }

    /// How often such an operation is tried at most, 1 or more. Defaults to 100.
    pub fn retry_attempts(&self) -> u32 {
        self.retry_attempts
    }

    /// The longest pause between two attempts. Defaults to 2 seconds.
    pub fn retry_pause(&self) -> Duration {
        self.retry_pause
    }

    /// How long a connection may lie idle before it is closed, if there is a limit. Defaults to 10
    /// minutes.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// How old a connection may become before it is replaced, if there is a limit. Defaults to 30
    /// minutes.
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime
    }

    /// The name that `pg_stat_activity` shows. Defaults to that of the running program.
    pub fn application_name(&self) -> &str {
        &self.application_name
    }

    /// The schema that holds the tables, not yet quoted. Without one, the tables have a default of
    /// their own: they are in a schema that is named like their set of migrations.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Whether connections are encrypted, and what is checked of the server. Defaults to
    /// [`TlsMode::Prefer`], or to [`TlsMode::VerifyFull`] with [`RootCertificates::System`].
    pub fn tls_mode(&self) -> TlsMode {
        self.tls.mode
    }

    /// What the server's certificate is checked against. There are some if the mode is one that
    /// verifies.
    pub fn root_certificates(&self) -> Option<&RootCertificates> {
        self.tls.root_certificates.as_ref()
    }

    /// What is shown to a server that asks for a certificate, if anything.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.tls.client_certificate.as_ref()
    }

    /// Whether the proof of a password is bound to the TLS session. Defaults to
    /// [`ChannelBinding::Prefer`].
    pub fn channel_binding(&self) -> ChannelBinding {
        self.tls.channel_binding
    }

    /// Whether a pooler stands in between. Defaults to [`PoolMode::Session`].
    pub fn pool_mode(&self) -> PoolMode {
        self.pool_mode
    }

    /// Command-line options for the server; with [`PoolMode::Transaction`] none but `endpoint=…`,
    /// which Neon's proxy takes out. They may hold secrets, so don't log them.
    pub fn options(&self) -> Option<&str> {
        self.options.as_ref().map(Secret::expose)
    }

    /// Which of the hosts will do. Defaults to [`TargetSessionAttrs::Any`].
    pub fn target_session_attrs(&self) -> TargetSessionAttrs {
        self.target_session_attrs
    }
}

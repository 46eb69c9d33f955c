use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    ChannelBinding, ClientCertificate, Error, Host, PoolMode, Result, RootCertificates, Secret,
    TargetSessionAttrs, TlsMode,
    connection_url::ConnectionUrl,
    dotenv,
    environment::Environment,
    error::Problems,
    tls::Tls,
    variable::{
        ACQUIRE_TIMEOUT, APPLICATION_NAME, CONNECT_TIMEOUT, CONNECT_TIMEOUT_SECONDS, DATABASE_URL,
        IDLE_TIMEOUT, MAX_LIFETIME, NETWORK_TIMEOUT, POOL_MAX, POOL_MIN, POOL_MODE, RETRY_ATTEMPTS,
        RETRY_PAUSE, RETRY_TIMEOUT, SCHEMA, STARTUP_TIMEOUT, STATEMENT_TIMEOUT,
        TARGET_SESSION_ATTRS,
    },
};

/// What the environment says about the database.
///
/// The [crate's docs](crate#variables) say what each variable means, its
/// default and its bounds.
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
// The derived `Debug` is safe because each field that may hold a secret is a
// `Secret`.
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
    schema: String,
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

    /// Reads the `.env` file of the current folder, or else of the nearest one
    /// above it that has one, and the environment of this process.
    ///
    /// A variable that is set wins over the file, even if it is set to nothing.
    /// The file may be missing. The environment stays as it is. In the file,
    /// `$NAME` stands for a variable unless it is in single quotes.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong;
    /// [`Error::ReadDotenv`] if the file is there but can't be read.
    pub fn load() -> Result<Self> {
        let dir = env::current_dir().map_err(|source| Error::ReadDotenv {
            path: PathBuf::from(".env"),
            source,
        })?;
        Self::load_from(&dir, env::vars_os())
    }

    /// Reads a URL; everything else has its default.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong, under the
    /// name of `DATABASE_URL`.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::read([(DATABASE_URL.into(), url.into())], Problems::default())
    }

    /// Reads names and values, of which only `DATABASE_URL` and `DB_*` are
    /// looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with everything that is missing or wrong.
    #[expect(
        clippy::should_implement_trait,
        reason = "reading may fail, and the trait's function may not"
    )]
    pub fn from_iter(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self::read(variables, Problems::default())
    }

    pub(crate) fn load_from(
        dir: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self> {
        let mut problems = Problems::default();
        let file = dotenv::read(dir, &mut problems)?;
        Self::read(file.into_iter().chain(environment), problems)
    }

    /// Reads all of it before it reports the problems, so that one attempt
    /// finds them all.
    pub(crate) fn read(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        mut problems: Problems,
    ) -> Result<Self> {
        let env = Environment::pick(variables, &mut problems);

        let url = match &env.database_url {
            Some(url) => ConnectionUrl::parse(url, &mut problems),
            None => {
                if !problems.are_about(DATABASE_URL) {
                    problems.add(
                        DATABASE_URL,
                        "a URL such as `postgres://user:password@host/dbname`: it is not set",
                    );
                }
                ConnectionUrl::default()
            }
        };

        let pool_min = POOL_MIN.read(env.db_pool_min.as_deref(), None, &mut problems);
        let pool_max = POOL_MAX.read(env.db_pool_max.as_deref(), None, &mut problems);
        if pool_min > pool_max && !problems.are_about(POOL_MAX.name) {
            problems.add(POOL_MIN.name, POOL_MIN.expected);
        }

        let acquire_timeout =
            ACQUIRE_TIMEOUT.read(env.db_acquire_timeout.as_deref(), &mut problems);
        let connect_timeout = match env.db_connect_timeout.as_deref() {
            None => {
                CONNECT_TIMEOUT_SECONDS.read(None, url.connect_timeout.as_deref(), &mut problems)
            }
            text => CONNECT_TIMEOUT.read(text, &mut problems),
        };
        let startup_timeout =
            STARTUP_TIMEOUT.read(env.db_startup_timeout.as_deref(), &mut problems);
        let statement_timeout =
            STATEMENT_TIMEOUT.read_limit(env.db_statement_timeout.as_deref(), &mut problems);
        let network_timeout =
            NETWORK_TIMEOUT.read(env.db_network_timeout.as_deref(), &mut problems);
        let retry_timeout = RETRY_TIMEOUT.read(env.db_retry_timeout.as_deref(), &mut problems);
        let retry_attempts =
            RETRY_ATTEMPTS.read(env.db_retry_attempts.as_deref(), None, &mut problems);
        let retry_pause = RETRY_PAUSE.read(env.db_retry_pause.as_deref(), &mut problems);
        let idle_timeout = IDLE_TIMEOUT.read_limit(env.db_idle_timeout.as_deref(), &mut problems);
        let max_lifetime = MAX_LIFETIME.read_limit(env.db_max_lifetime.as_deref(), &mut problems);

        let application_name = APPLICATION_NAME.read(
            env.db_application_name.as_deref(),
            url.application_name.as_deref(),
            &mut problems,
        );
        let schema = SCHEMA.read(env.db_schema.as_deref(), None, &mut problems);
        let tls = Tls::read(&env, &url, &mut problems);
        let target_session_attrs =
            TARGET_SESSION_ATTRS.read(None, url.target_session_attrs.as_deref(), &mut problems);

        let pool_mode = POOL_MODE.read(env.db_pool_mode.as_deref(), None, &mut problems);
        let options = url.options.filter(|options| !options.expose().is_empty());
        if pool_mode == PoolMode::Transaction && options.is_some() {
            problems.add_parameter(
                "options",
                "not to be set in pool mode `transaction`; a pooler such as PgBouncer refuses it",
            );
        }

        problems.finish(Self {
            hosts: url.hosts,
            user: url.user,
            password: url.password,
            dbname: url.dbname,
            pool_min,
            pool_max,
            acquire_timeout,
            connect_timeout,
            startup_timeout,
            statement_timeout,
            network_timeout,
            retry_timeout,
            retry_attempts,
            retry_pause,
            idle_timeout,
            max_lifetime,
            application_name,
            schema,
            tls,
            pool_mode,
            options,
            target_session_attrs,
        })
    }
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

    /// Connections the pool keeps idle, besides those that are borrowed; at most
    /// [`pool_max`](Self::pool_max). Defaults to 1.
    pub fn pool_min(&self) -> u32 {
        self.pool_min
    }

    /// Connections the pool opens at most, 1 or more. Defaults to 10.
    pub fn pool_max(&self) -> u32 {
        self.pool_max
    }

    /// How long a borrower waits for a connection. Defaults to 5 seconds.
    pub fn acquire_timeout(&self) -> Duration {
        self.acquire_timeout
    }

    /// How long one attempt to connect to one host may take. Defaults to
    /// 5 seconds.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How long an unreachable server is tried again at start-up; zero is one
    /// attempt. Defaults to 30 seconds.
    pub fn startup_timeout(&self) -> Duration {
        self.startup_timeout
    }

    /// How long a statement may run, if there is a limit. Defaults to
    /// 30 seconds.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }

    /// How long an answer may be overdue before its connection is given up:
    /// that of a statement after [`statement_timeout`](Self::statement_timeout),
    /// and that of the other system to what was sent. Defaults to 10 seconds.
    pub fn network_timeout(&self) -> Duration {
        self.network_timeout
    }

    /// For how long an operation that may be repeated is tried again after a
    /// transient failure; zero is one attempt. Defaults to 30 seconds.
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

    /// How long a connection may lie idle before it is closed, if there is a
    /// limit. Defaults to 10 minutes.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// How old a connection may become before it is replaced, if there is a
    /// limit. Defaults to 30 minutes.
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime
    }

    /// The name that `pg_stat_activity` shows. Defaults to `checkpointer`.
    pub fn application_name(&self) -> &str {
        &self.application_name
    }

    /// The schema that holds the tables, not yet quoted. Defaults to
    /// `checkpointer`.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether connections are encrypted, and what is checked of the server.
    /// Defaults to [`TlsMode::Prefer`], or to [`TlsMode::VerifyFull`] with
    /// [`RootCertificates::System`].
    pub fn tls_mode(&self) -> TlsMode {
        self.tls.mode
    }

    /// What the server's certificate is checked against. There are some if the
    /// mode is one that verifies.
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

    /// Command-line options for the server, never with
    /// [`PoolMode::Transaction`]. They may hold secrets, so don't log them.
    pub fn options(&self) -> Option<&str> {
        self.options.as_ref().map(Secret::expose)
    }

    /// Which of the hosts will do. Defaults to [`TargetSessionAttrs::Any`].
    pub fn target_session_attrs(&self) -> TargetSessionAttrs {
        self.target_session_attrs
    }
}

//! Opening one connection: which hosts, how long, and what a failure means.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use settings::{Host, PoolMode, Settings, TargetSessionAttrs, TlsMode};
use tokio::time::{error::Elapsed, sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Socket};
use tracing::warn;

use crate::backoff::Backoff;
use crate::cancel::Canceller;
use crate::error::Chain;
use crate::{Error, pooler};

/// The half of a connection that moves the bytes.
pub(crate) type Driver = tokio_postgres::Connection<Socket, NoTlsStream>;

/// A new connection.
pub(crate) type Opened = (Client, Driver, Canceller);

// A peer that is gone without a word while nothing is sent is noticed within
// half a minute, instead of the system's two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nothing listens there.
    Refused,
    /// No host has that name.
    UnknownHost,
    /// The host's name could not be looked up at the moment.
    NameLookup,
    /// The network has no way there.
    Network,
    /// There was no answer in time.
    TimedOut,
    /// The connection broke off before it was usable.
    BrokenOff,
    /// The server is starting up or shutting down.
    NotReady,
    /// The server has no room for another connection.
    TooManyConnections,
    /// The server is read-only, and one that can write is asked for.
    ReadOnly,
    /// The server can write, and one that can't is asked for.
    ReadWrite,
    /// The server is a standby, and a primary is asked for.
    Standby,
    /// The server is a primary, and a standby is asked for.
    Primary,
    /// The user or the password was rejected.
    Authentication,
    /// The database does not exist.
    UnknownDatabase,
    /// The server, most likely a pooler, takes no start-up parameter such as
    /// `options`.
    StartupParameter,
    /// The server or the driver gave up for another reason.
    Rejected,
}

impl ConnectFailure {
    /// Whether another attempt may succeed a little later.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Refused
            | Self::NameLookup
            | Self::Network
            | Self::TimedOut
            | Self::BrokenOff
            | Self::NotReady
            | Self::TooManyConnections
            | Self::ReadOnly
            | Self::ReadWrite
            | Self::Standby
            | Self::Primary => true,
            Self::UnknownHost
            | Self::Authentication
            | Self::UnknownDatabase
            | Self::StartupParameter
            | Self::Rejected => false,
        }
    }

    /// Whether the server answered in a way that makes another host pointless:
    /// libpq doesn't ask the next one either.
    fn is_final(self) -> bool {
        matches!(
            self,
            Self::Authentication | Self::UnknownDatabase | Self::StartupParameter | Self::Rejected
        )
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the connection was refused",
            Self::UnknownHost => "the host is unknown",
            Self::NameLookup => "the host's name could not be looked up",
            Self::Network => "the network is unreachable",
            Self::TimedOut => "there was no answer in time",
            Self::BrokenOff => "the connection broke off",
            Self::NotReady => "the server is not ready",
            Self::TooManyConnections => "the server has no room for another connection",
            Self::ReadOnly => "the server does not accept writes",
            Self::ReadWrite => "the server accepts writes, and a read-only one is asked for",
            Self::Standby => "the server is a standby, and a primary is asked for",
            Self::Primary => "the server is a primary, and a standby is asked for",
            Self::Authentication => "the user or password was rejected",
            Self::UnknownDatabase => "the database does not exist",
            Self::StartupParameter => {
                "a start-up parameter was refused; behind a pooler set DB_POOL_MODE=transaction"
            }
            Self::Rejected => "the connection was rejected",
        })
    }
}

/// Opens connections as the settings say.
#[derive(Debug)]
pub(crate) struct Connector {
    hosts: Vec<Host>,
    dbname: String,
    target_session_attrs: TargetSessionAttrs,
    /// Everything but the host.
    config: Config,
    attempt_timeout: Duration,
    startup_timeout: Duration,
}

impl Connector {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut config = Config::new();
        config
            .user(settings.user())
            .dbname(settings.dbname())
            .application_name(settings.application_name())
            .ssl_mode(ssl_mode(settings.tls_mode()))
            .connect_timeout(settings.connect_timeout())
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(settings.network_timeout());
        if let Some(password) = settings.password() {
            config.password(password.expose());
        }
        if let Some(options) = startup_options(settings) {
            config.options(options);
        }
        Self {
            hosts: settings.hosts().to_vec(),
            dbname: settings.dbname().to_owned(),
            target_session_attrs: settings.target_session_attrs(),
            config,
            attempt_timeout: settings.connect_timeout(),
            startup_timeout: settings.startup_timeout(),
        }
    }

    /// Connects, again and again while the failure is a transient one and the
    /// start-up time isn't over.
    pub(crate) async fn connect_patiently(&self) -> Result<Opened, Error> {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let error = match self.attempt(started).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let left = self.startup_timeout.saturating_sub(started.elapsed());
            if left.is_zero() || !error.is_transient() {
                return Err(error);
            }
            warn!(error = %Chain(&error), "failed to connect, trying again");
            sleep(backoff.pause().min(left)).await;
        }
    }

    /// Connects to the first host that will do.
    pub(crate) async fn connect(&self) -> Result<Opened, Error> {
        self.attempt(Instant::now()).await
    }

    async fn attempt(&self, started: Instant) -> Result<Opened, Error> {
        let mut worth_telling: Option<(&Host, Failed)> = None;
        let mut attempts = Vec::new();
        for wanted in wanted(self.target_session_attrs) {
            attempts.extend(self.hosts.iter().map(|host| (host, *wanted)));
        }
        for (host, wanted) in attempts {
            let failed = match self.connect_to(host, wanted).await {
                Ok(connection) => return Ok(connection),
                Err(failed) => failed,
            };
            let is_final = failed.failure.is_final();
            // A host that may come back is worth another attempt, whatever is
            // wrong with the others.
            if is_final
                || worth_telling.as_ref().is_none_or(|(_, known)| {
                    failed.failure.is_transient() || !known.failure.is_transient()
                })
            {
                worth_telling = Some((host, failed));
            }
            if is_final {
                break;
            }
        }
        let (target, Failed { failure, source }) = match worth_telling {
            Some((host, failed)) => (format!("{host}/{}", self.dbname), failed),
            None => (
                self.dbname.clone(),
                Failed::new(ConnectFailure::UnknownHost),
            ),
        };
        Err(Error::Connect {
            target,
            failure,
            tried: started.elapsed(),
            source,
        })
    }

    /// Tries a host's addresses one after the other, each with a time of its
    /// own.
    async fn connect_to(&self, host: &Host, wanted: TargetSessionAttrs) -> Result<Opened, Failed> {
        let mut config = self.config.clone();
        config.port(host.port);
        if host.is_unix_socket() {
            config.host_path(&host.name);
            return self.open(&config, wanted).await;
        }
        let addresses = timeout(
            self.attempt_timeout,
            tokio::net::lookup_host((host.name.as_str(), host.port)),
        )
        .await?
        .map_err(Failed::lookup)?;
        let mut last = Failed::new(ConnectFailure::UnknownHost);
        for address in addresses {
            let mut config = config.clone();
            config.host(&host.name).hostaddr(address.ip());
            match self.open(&config, wanted).await {
                Ok(connection) => return Ok(connection),
                Err(failed) if failed.failure.is_final() => return Err(failed),
                Err(failed) => last = failed,
            }
        }
        Err(last)
    }

    async fn open(&self, config: &Config, wanted: TargetSessionAttrs) -> Result<Opened, Failed> {
        let open = async {
            let (client, mut driver) = config.connect(NoTls).await?;
            if wanted != TargetSessionAttrs::Any {
                let role = ask_role(&client, &mut driver).await?;
                role.check(wanted).map_err(Failed::new)?;
            }
            let canceller = Canceller::new(&client, config);
            Ok((client, driver, canceller))
        };
        // The driver's own time-out ends with the TCP handshake.
        timeout(self.attempt_timeout, open).await?
    }
}

/// What the hosts are asked for: all of them for the first, then for the next.
fn wanted(attrs: TargetSessionAttrs) -> &'static [TargetSessionAttrs] {
    use TargetSessionAttrs::{Any, Primary, ReadOnly, ReadWrite, Standby};
    match attrs {
        ReadWrite => &[ReadWrite],
        ReadOnly => &[ReadOnly],
        Primary => &[Primary],
        Standby => &[Standby],
        TargetSessionAttrs::PreferStandby => &[Standby, Any],
        _ => &[Any],
    }
}

/// What a session may do, and where.
struct Role {
    standby: bool,
    read_only: bool,
}

impl Role {
    fn check(&self, wanted: TargetSessionAttrs) -> Result<(), ConnectFailure> {
        match wanted {
            TargetSessionAttrs::ReadWrite if self.read_only => Err(ConnectFailure::ReadOnly),
            TargetSessionAttrs::ReadOnly if !self.read_only => Err(ConnectFailure::ReadWrite),
            TargetSessionAttrs::Primary if self.standby => Err(ConnectFailure::Standby),
            TargetSessionAttrs::Standby if !self.standby => Err(ConnectFailure::Primary),
            _ => Ok(()),
        }
    }
}

/// Asks the server for its role. What it reports by itself since PostgreSQL 14
/// would be that of an earlier connection behind a pooler.
async fn ask_role(client: &Client, driver: &mut Driver) -> Result<Role, Failed> {
    const ASK: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
         pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool";
    let answer = tokio::select! {
        answer = client.simple_query(ASK) => answer?,
        ended = driver => {
            ended?;
            return Err(Failed::new(ConnectFailure::BrokenOff));
        }
    };
    let role = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(Role {
            standby: row.get(0) == Some("t"),
            read_only: row.get(1) == Some("t"),
        }),
        _ => None,
    });
    role.ok_or(Failed::new(ConnectFailure::Rejected))
}

fn ssl_mode(mode: TlsMode) -> SslMode {
    match mode {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        // Without TLS the driver refuses it, which is better than to ignore it.
        _ => SslMode::Require,
    }
}

/// The `options` of the start-up packet. The user's own come last, so they win.
pub(crate) fn startup_options(settings: &Settings) -> Option<String> {
    // A pooler in transaction mode refuses `options`; the statement time-out is
    // the client's task then.
    let timeout = match settings.pool_mode() {
        PoolMode::Session => settings.statement_timeout(),
        PoolMode::Transaction => None,
    };
    let timeout = timeout.map(|limit| format!("-c statement_timeout={}", limit.as_millis()));
    let options: Vec<&str> = timeout
        .as_deref()
        .into_iter()
        .chain(settings.options())
        .collect();
    (!options.is_empty()).then(|| options.join(" "))
}

/// A failed attempt on one host.
struct Failed {
    failure: ConnectFailure,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failed {
    fn new(failure: ConnectFailure) -> Self {
        Self {
            failure,
            source: None,
        }
    }

    fn lookup(error: io::Error) -> Self {
        // The resolver's error code is lost on the way; these are what glibc
        // and macOS, and what musl, say for the temporary one (EAI_AGAIN).
        let text = error.to_string();
        let temporary = text.contains("Temporary failure") || text.contains("Try again");
        Self {
            failure: if temporary {
                ConnectFailure::NameLookup
            } else {
                ConnectFailure::UnknownHost
            },
            source: Some(error.into()),
        }
    }
}

impl From<Elapsed> for Failed {
    fn from(_: Elapsed) -> Self {
        Self::new(ConnectFailure::TimedOut)
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self {
            failure: classify(&error),
            source: Some(error.into()),
        }
    }
}

fn classify(error: &tokio_postgres::Error) -> ConnectFailure {
    if let Some(error) = error.as_db_error() {
        return pooler::connect_failure(error).unwrap_or_else(|| classify_code(error.code()));
    }
    if error.is_closed() {
        return ConnectFailure::BrokenOff;
    }
    match error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
    {
        Some(cause) => classify_io(cause),
        None => ConnectFailure::Rejected,
    }
}

fn classify_code(code: &SqlState) -> ConnectFailure {
    match code.code() {
        "28P01" | "28000" => ConnectFailure::Authentication,
        "3D000" => ConnectFailure::UnknownDatabase,
        "53300" => ConnectFailure::TooManyConnections,
        "57P01" | "57P02" | "57P03" => ConnectFailure::NotReady,
        code if code.starts_with("08") => ConnectFailure::BrokenOff,
        _ => ConnectFailure::Rejected,
    }
}

pub(crate) fn classify_io(error: &io::Error) -> ConnectFailure {
    use io::ErrorKind;
    match error.kind() {
        // A Unix socket that isn't there is a server that isn't running.
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => ConnectFailure::Refused,
        ErrorKind::TimedOut => ConnectFailure::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            ConnectFailure::Network
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => ConnectFailure::BrokenOff,
        _ => ConnectFailure::Rejected,
    }
}

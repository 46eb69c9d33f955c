//! Opening one connection: which hosts, how long, and what a failure means.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settings::{ChannelBinding, Host, PoolMode, Settings, TargetSessionAttrs, TlsMode};
use tokio::task::spawn_blocking;
use tokio::time::{error::Elapsed, sleep, timeout};
use tokio_postgres::config::{self, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage, Socket};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::cancel::Canceller;
use crate::error::Chain;
use crate::meter::Meter;
use crate::tls::{self, Handshake, Tls};
use crate::{Error, pooler};

/// The half of a connection that moves the bytes.
pub(crate) type Driver = tokio_postgres::Connection<Socket, tls::Stream<Socket>>;

/// A connection that was just opened.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    pub(crate) canceller: Canceller,
    /// For the log.
    pub(crate) tls_version: &'static str,
}

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
    /// The server has no TLS, which the settings ask for.
    TlsNotOffered,
    /// The server's certificate comes from nobody who is trusted.
    UnknownAuthority,
    /// The server's certificate has expired.
    CertificateExpired,
    /// The server's certificate is not valid yet.
    CertificateNotYetValid,
    /// The server's certificate is made out to another host.
    HostNameMismatch,
    /// The server's certificate can't be used for another reason.
    Certificate,
    /// The server wants a client certificate, and there is none.
    ClientCertificateRequired,
    /// The server doesn't accept the client certificate.
    ClientCertificateRejected,
    /// The proof of the password can't be bound to the TLS session, as the
    /// settings ask for.
    ChannelBinding,
    /// The TLS handshake failed for another reason.
    Handshake,
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
            | Self::TlsNotOffered
            | Self::UnknownAuthority
            | Self::CertificateExpired
            | Self::CertificateNotYetValid
            | Self::HostNameMismatch
            | Self::Certificate
            | Self::ClientCertificateRequired
            | Self::ClientCertificateRejected
            | Self::ChannelBinding
            | Self::Handshake
            | Self::Rejected => false,
        }
    }

    /// Whether the server answered in a way that makes another host pointless:
    /// libpq doesn't ask the next one either.
    fn is_final(self) -> bool {
        !self.is_transient() && self != Self::UnknownHost
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
            Self::TlsNotOffered => "the server does not offer TLS, which `DB_SSLMODE` asks for",
            Self::UnknownAuthority => {
                "the server's certificate comes from nobody in `DB_SSLROOTCERT`"
            }
            Self::CertificateExpired => {
                "the server's certificate has expired and must be renewed there"
            }
            Self::CertificateNotYetValid => {
                "the server's certificate is not valid yet; compare the clocks"
            }
            Self::HostNameMismatch => "the server's certificate is made out to another host",
            Self::Certificate => "the server's certificate can't be used",
            Self::ClientCertificateRequired => {
                "the server wants a client certificate, which `DB_SSLCERT` and `DB_SSLKEY` name"
            }
            Self::ClientCertificateRejected => {
                "the server does not accept the client certificate in `DB_SSLCERT`"
            }
            Self::ChannelBinding => {
                "the server does not bind passwords to TLS, which `DB_CHANNEL_BINDING` asks for"
            }
            Self::Handshake => "the TLS handshake failed",
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
    tls_mode: TlsMode,
    /// Nothing if no host is reached by TLS.
    tls_files: Option<tls::Files>,
    meter: Arc<Meter>,
}

impl Connector {
    pub(crate) fn new(settings: &Settings, meter: Arc<Meter>) -> Self {
        let mut config = Config::new();
        config
            .user(settings.user())
            .dbname(settings.dbname())
            .application_name(settings.application_name())
            .channel_binding(match settings.channel_binding() {
                ChannelBinding::Disable => config::ChannelBinding::Disable,
                ChannelBinding::Require => config::ChannelBinding::Require,
                _ => config::ChannelBinding::Prefer,
            })
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
            tls_mode: settings.tls_mode(),
            tls_files: tls::Files::new(settings),
            meter,
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
        let begun = Instant::now();
        let answer = self.try_hosts(started).await;
        self.meter.connected(begun.elapsed(), &answer);
        answer
    }

    async fn try_hosts(&self, started: Instant) -> Result<Opened, Error> {
        let tls = match self.tls_files.clone() {
            Some(files) => Some(read(files).await?),
            None => None,
        };
        let mut worth_telling: Option<(&Host, Failed)> = None;
        let mut attempts = Vec::new();
        for wanted in wanted(self.target_session_attrs) {
            attempts.extend(self.hosts.iter().map(|host| (host, *wanted)));
        }
        for (host, wanted) in attempts {
            let failed = match self.connect_to(host, wanted, tls.as_ref()).await {
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
        let (
            target,
            Failed {
                failure, source, ..
            },
        ) = match worth_telling {
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
    async fn connect_to(
        &self,
        host: &Host,
        wanted: TargetSessionAttrs,
        tls: Option<&tls::Setup>,
    ) -> Result<Opened, Failed> {
        let mut config = self.config.clone();
        config.port(host.port);
        if host.is_unix_socket() {
            config.host_path(&host.name);
            // As in libpq, what doesn't leave the machine isn't encrypted.
            return self.open(&config, wanted, None).await;
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
            match self.open(&config, wanted, tls).await {
                Ok(connection) => return Ok(connection),
                Err(failed) if failed.failure.is_final() => return Err(failed),
                Err(failed) => last = failed,
            }
        }
        Err(last)
    }

    /// Opens a connection with TLS or without, as the mode says, and if the
    /// server has nothing of it the other way round.
    async fn open(
        &self,
        config: &Config,
        wanted: TargetSessionAttrs,
        tls: Option<&tls::Setup>,
    ) -> Result<Opened, Failed> {
        let (first, second) = match (tls, self.tls_mode) {
            (None, _) => (SslMode::Disable, None),
            (Some(_), TlsMode::Allow) => (SslMode::Disable, Some(SslMode::Require)),
            (Some(_), TlsMode::Prefer) => (SslMode::Prefer, Some(SslMode::Disable)),
            (Some(_), _) => (SslMode::Require, None),
        };
        let failed = match self.open_with(config, first, wanted, tls).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        let Some(second) = second.filter(|_| failed.other_way_may_do) else {
            return Err(failed);
        };
        debug!(error = %failed.failure, "failed to connect, trying with or without TLS");
        let with_tls = first != SslMode::Disable;
        match self.open_with(config, second, wanted, tls).await {
            Ok(opened) => Ok(opened),
            Err(other) if with_tls => Err(more_telling(failed, other)),
            Err(other) => Err(more_telling(other, failed)),
        }
    }

    async fn open_with(
        &self,
        config: &Config,
        mode: SslMode,
        wanted: TargetSessionAttrs,
        tls: Option<&tls::Setup>,
    ) -> Result<Opened, Failed> {
        let mut config = config.clone();
        config.ssl_mode(mode);
        let tls = Tls::new(tls);
        let failed = |error| Failed::driver(error, mode, &tls);
        let open = async {
            let (client, mut driver) = config.connect(tls.clone()).await.map_err(failed)?;
            if wanted != TargetSessionAttrs::Any {
                let role = ask_role(&client, &mut driver).await.map_err(failed)?;
                let role = role.ok_or(Failed::new(ConnectFailure::BrokenOff))?;
                role.check(wanted).map_err(Failed::new)?;
            }
            let canceller = Canceller::new(&client, &config, &tls);
            Ok::<_, Failed>((client, driver, canceller))
        };
        // The driver's own time-out ends with the TCP handshake.
        let (client, driver, canceller) = timeout(self.attempt_timeout, open).await??;
        Ok(Opened {
            client,
            driver,
            canceller,
            tls_version: tls.version(),
        })
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

/// Asks the server for its role; nothing, if the connection ends instead. What it
/// reports by itself since PostgreSQL 14 would be that of an earlier connection
/// behind a pooler.
async fn ask_role(
    client: &Client,
    driver: &mut Driver,
) -> Result<Option<Role>, tokio_postgres::Error> {
    const ASK: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
         pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool";
    let answer = tokio::select! {
        answer = client.simple_query(ASK) => answer?,
        ended = driver => return ended.map(|()| None),
    };
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(Role {
            standby: row.get(0) == Some("t"),
            read_only: row.get(1) == Some("t"),
        }),
        _ => None,
    }))
}

/// Of what came of trying both ways, what helps more to put it right.
fn more_telling(with_tls: Failed, without: Failed) -> Failed {
    // One way lets nobody in at all if the other one gets as far as the password.
    let got_further = without.password_was_wrong && !with_tls.password_was_wrong;
    if got_further
        || without.failure.is_transient()
        || with_tls.failure == ConnectFailure::TlsNotOffered
    {
        without
    } else {
        with_tls
    }
}

async fn read(files: tls::Files) -> Result<tls::Setup, Error> {
    spawn_blocking(move || files.read())
        .await
        .expect("reading files should not panic")
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
    /// Whether it may go better with TLS instead of without, or the other way
    /// round.
    other_way_may_do: bool,
    password_was_wrong: bool,
}

impl Failed {
    fn new(failure: ConnectFailure) -> Self {
        Self {
            failure,
            source: None,
            other_way_may_do: false,
            password_was_wrong: false,
        }
    }

    fn lookup(error: io::Error) -> Self {
        // The resolver's error code is lost on the way; these are what glibc
        // and macOS, and what musl, say for the temporary one (EAI_AGAIN).
        let text = error.to_string();
        let temporary = text.contains("Temporary failure") || text.contains("Try again");
        Self {
            source: Some(error.into()),
            ..Self::new(if temporary {
                ConnectFailure::NameLookup
            } else {
                ConnectFailure::UnknownHost
            })
        }
    }

    fn driver(error: tokio_postgres::Error, mode: SslMode, tls: &Tls) -> Self {
        // A server says by class 28 whom it lets in and how, a pooler by 08. It
        // is the answer to this way only if the connection was made this way.
        let turned_away = error
            .code()
            .is_some_and(|code| matches!(code.code().get(..2), Some("28" | "08")));
        let other_way_may_do = match tls.handshake() {
            Some(Handshake::Failed) => true,
            Some(Handshake::Done(_)) => turned_away,
            None => mode == SslMode::Disable && turned_away,
        };
        Self {
            failure: classify(&error, tls),
            other_way_may_do,
            password_was_wrong: error.code() == Some(&SqlState::INVALID_PASSWORD),
            source: Some(error.into()),
        }
    }
}

impl From<Elapsed> for Failed {
    fn from(_: Elapsed) -> Self {
        Self::new(ConnectFailure::TimedOut)
    }
}

fn classify(error: &tokio_postgres::Error, tls: &Tls) -> ConnectFailure {
    if let Some(error) = error.as_db_error() {
        return tls::refused_certificate(error, tls)
            .or_else(|| pooler::connect_failure(error))
            .unwrap_or_else(|| classify_code(error.code()));
    }
    if error.is_closed() {
        return ConnectFailure::BrokenOff;
    }
    if let Some(cause) = tls::cause(error) {
        return tls::failure(cause, tls);
    }
    let cause = error.source();
    if let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
        return classify_io(cause);
    }
    // The driver has these two in words only.
    match cause.map(ToString::to_string).as_deref() {
        Some("server does not support TLS") => ConnectFailure::TlsNotOffered,
        Some("server did not use channel binding") => ConnectFailure::ChannelBinding,
        _ => ConnectFailure::Rejected,
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

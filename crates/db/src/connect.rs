//! Opening one connection: which hosts, and how long.

pub(crate) mod failure;

pub use failure::ConnectFailure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use settings::{ChannelBinding, Host, PoolMode, Settings, TargetSessionAttrs, TlsMode};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::{self, SslMode};
use tokio_postgres::{Client, Config, SimpleQueryMessage, Socket};
use tracing::{debug, warn};

use crate::Error;
use crate::backoff::Backoff;
use crate::cancel::Canceller;
use crate::error::Chain;
use crate::meter::Meter;
use crate::tls::{self, Tls};
use failure::{Failed, more_telling};

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

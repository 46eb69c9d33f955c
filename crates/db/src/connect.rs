//! Opening one connection: which hosts, and how long.

pub(crate) mod failure;
pub(crate) mod options;
mod probe;
mod session;
mod tls_request;

pub(crate) use options::lock_limit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use settings::{ChannelBinding, Host, PoolMode, Settings, TargetSessionAttrs, TlsMode};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::{self, SslMode};
use tokio_postgres::{Client, Config, Socket};
use tracing::{debug, warn};

use crate::Error;
use crate::backoff::Backoff;
use crate::cancel::Canceller;
use crate::connect_failure::ConnectFailure;
use crate::error::Chain;
use crate::meter::Meter;
use crate::preparation::Preparation;
use crate::tls::{self, Tls};
use failure::{Failed, more_telling};
use options::Options;

/// The half of a connection that moves the bytes.
pub(crate) type Driver = tokio_postgres::Connection<Socket, tls::Stream<Socket>>;

/// A connection that was just opened.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    pub(crate) canceller: Canceller,
    pub(crate) server: Server,
}

/// What the server says about itself.
#[derive(Debug)]
pub(crate) struct Server {
    /// 150018 is 15.18.
    pub(crate) version: u32,
    pub(crate) encoding: String,
    /// Whether it may compile statements.
    pub(crate) jit: bool,
    /// The TLS version of the connection, or `off`.
    pub(crate) tls: &'static str,
    pub(crate) preparation: Preparation,
}

// A server that vanishes while nothing is sent is noticed within half a minute, instead of the
// system's two hours.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Opens connections as the settings say.
#[derive(Debug)]
pub(crate) struct Connector {
    hosts: Vec<Host>,
    dbname: String,
    target_session_attrs: TargetSessionAttrs,
    mode: PoolMode,
    /// Everything but the host.
    config: Config,
    options: Options,
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
        Self {
            hosts: settings.hosts().to_vec(),
            dbname: settings.dbname().to_owned(),
            target_session_attrs: settings.target_session_attrs(),
            mode: settings.pool_mode(),
            config,
            options: Options::new(settings),
            attempt_timeout: settings.connect_timeout(),
            startup_timeout: settings.startup_timeout(),
            tls_mode: settings.tls_mode(),
            tls_files: tls::Files::new(settings),
            meter,
        }
    }

    /// Connects, again and again while the failure is a transient one and the start-up time isn't
    /// over.
    pub(crate) async fn connect_patiently(&self) -> Result<Opened, Error> {
        let started = Instant::now();
        let mut backoff = backoff();
        loop {
            let error = match self.attempt(started).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            let patience = match &error {
                Error::Connect { failure, .. } => failure.patience(self.startup_timeout),
                _ => self.startup_timeout,
            };
            let left = patience.saturating_sub(started.elapsed());
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
            // A host that may come back is worth another attempt, whatever is wrong with the
            // others.
            if is_final
                || worth_telling
                    .as_ref()
                    .is_none_or(|(_, known)| failed.failure.may_pass() || !known.failure.may_pass())
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

    /// Tries a host's addresses one after the other, each with a time of its own.
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

    /// Opens a connection with TLS or without it, as the mode says. If the server refuses one way,
    /// the other is tried where the mode allows it.
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
        let mark = self.options.mark();
        if let Some(options) = self.options.with(mark.as_deref()) {
            config.options(options);
        }
        let tls = Tls::new(tls);
        let failed = |error| Failed::driver(error, mode, &tls);
        let failed_later = |error| Failed::after_log_in(error, mode, &tls);
        let open = async {
            let (client, mut driver) = config.connect(tls.clone()).await.map_err(failed)?;
            let session = session::ask(&client, &mut driver).await;
            let session = session.map_err(failed_later)?;
            let session = session.ok_or(Failed::new(ConnectFailure::BrokenOff))?;
            session.check(wanted).map_err(Failed::new)?;
            if mark.is_some() && session.mark != mark {
                return Err(Failed::new(ConnectFailure::OptionsIgnored));
            }
            let preparation = probe::ask(self.mode, &client, &mut driver).await;
            let preparation = preparation.map_err(failed_later)?;
            let preparation = preparation.ok_or(Failed::new(ConnectFailure::BrokenOff))?;
            let canceller = Canceller::new(&client, &config, &tls);
            Ok::<_, Failed>(Opened {
                client,
                driver,
                canceller,
                server: session.server(tls.version(), preparation),
            })
        };
        // The driver's own time-out ends with the TCP handshake.
        match timeout(self.attempt_timeout, open).await? {
            Err(failed) if failed.failure == ConnectFailure::TlsNotOffered => {
                let answer = tls_request::ask(&config, self.attempt_timeout).await;
                Err(answer.unwrap_or(failed))
            }
            opened => opened,
        }
    }
}

/// The pauses between attempts to connect.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}

/// What the hosts are asked for, in turn: all hosts for the first, then all for the next.
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

async fn read(files: tls::Files) -> Result<tls::Setup, Error> {
    spawn_blocking(move || files.read())
        .await
        .expect("reading files should not panic")
}

//! What a failure to connect means.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;

use crate::tls::{self, Handshake, Tls};
use crate::verdict;

/// For how long a name is looked up again that no host has.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// Too many open files, of the system and of the process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nothing listens there.
    Refused,
    /// No host has that name, or none at the moment, such as a service without a ready instance.
    /// It is looked up again for a few seconds at start-up, and as long as need be after that.
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
    /// The server, or a pooler, has no room for another connection.
    TooManyConnections,
    /// The server lacks memory, or room on its disk.
    OutOfResources,
    /// This machine has no more files, ports or memory for another connection.
    LocalResources,
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
    /// The server asks for a password, and the settings have none.
    PasswordMissing,
    /// The database does not exist.
    UnknownDatabase,
    /// The server, most likely a pooler, takes no start-up parameter such as
    /// `options`.
    StartupParameter,
    /// A pooler has dropped the start-up options, or shares the session with other clients.
    OptionsIgnored,
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
            | Self::UnknownHost
            | Self::NameLookup
            | Self::Network
            | Self::TimedOut
            | Self::BrokenOff
            | Self::NotReady
            | Self::TooManyConnections
            | Self::OutOfResources
            | Self::LocalResources
            | Self::ReadOnly
            | Self::ReadWrite
            | Self::Standby
            | Self::Primary => true,
            Self::Authentication
            | Self::PasswordMissing
            | Self::UnknownDatabase
            | Self::StartupParameter
            | Self::OptionsIgnored
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
    pub(super) fn is_final(self) -> bool {
        !self.is_transient()
    }

    /// Whether it is likely to pass: a name that isn't known is likely to be misspelt.
    pub(super) fn may_pass(self) -> bool {
        self.is_transient() && self != Self::UnknownHost
    }

    /// For how long it is worth trying again at start-up.
    pub(super) fn patience(self, startup_timeout: Duration) -> Duration {
        match self {
            Self::UnknownHost => startup_timeout.min(NAME_PATIENCE),
            _ => startup_timeout,
        }
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
            Self::OutOfResources => "the server lacks memory, or room on its disk",
            Self::LocalResources => {
                "this machine has no more files, ports or memory for another connection"
            }
            Self::ReadOnly => "the server does not accept writes",
            Self::ReadWrite => "the server accepts writes, and a read-only one is asked for",
            Self::Standby => "the server is a standby, and a primary is asked for",
            Self::Primary => "the server is a primary, and a standby is asked for",
            Self::Authentication => "the user or password was rejected",
            Self::PasswordMissing => "the server asks for a password, and `DATABASE_URL` has none",
            Self::UnknownDatabase => "the database does not exist",
            Self::StartupParameter => {
                "a start-up parameter was refused; behind a pooler set DB_POOL_MODE=transaction"
            }
            Self::OptionsIgnored => {
                "the start-up options were ignored; behind a pooler set DB_POOL_MODE=transaction"
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

/// A failed attempt on one host.
pub(super) struct Failed {
    pub(super) failure: ConnectFailure,
    pub(super) source: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether it may go better with TLS instead of without, or the other way
    /// round.
    pub(super) other_way_may_do: bool,
    password_was_wrong: bool,
}

impl Failed {
    pub(super) fn new(failure: ConnectFailure) -> Self {
        Self {
            failure,
            source: None,
            other_way_may_do: false,
            password_was_wrong: false,
        }
    }

    pub(super) fn because(
        failure: ConnectFailure,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(failure)
        }
    }

    pub(super) fn io(error: io::Error) -> Self {
        Self::because(classify_io(&error), error)
    }

    pub(super) fn lookup(error: io::Error) -> Self {
        // The resolver's error code is lost on the way; these are what glibc
        // and macOS, and what musl, say for the temporary one (EAI_AGAIN).
        let text = error.to_string();
        let temporary = text.contains("Temporary failure") || text.contains("Try again");
        let failure = match temporary {
            true => ConnectFailure::NameLookup,
            false => ConnectFailure::UnknownHost,
        };
        Self::because(failure, error)
    }

    pub(super) fn driver(error: tokio_postgres::Error, mode: SslMode, tls: &Tls) -> Self {
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
            .unwrap_or_else(|| verdict::refused(error.code(), error.message()));
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
    // The driver has these in words only.
    match cause.map(ToString::to_string).as_deref() {
        Some("server does not support TLS") => ConnectFailure::TlsNotOffered,
        Some("server did not use channel binding") => ConnectFailure::ChannelBinding,
        Some("password missing") => ConnectFailure::PasswordMissing,
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
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => ConnectFailure::LocalResources,
        _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => {
            ConnectFailure::LocalResources
        }
        _ => ConnectFailure::Rejected,
    }
}

/// Of what came of trying both ways, what helps more to put it right.
pub(super) fn more_telling(with_tls: Failed, without: Failed) -> Failed {
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

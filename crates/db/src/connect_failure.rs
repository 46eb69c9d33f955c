//! Why a connection could not be made, in the words of users.

use std::fmt;
use std::time::Duration;

/// For how long a name is looked up again that no host has.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// Why a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nothing listens there.
    Refused,
    /// No host has that name, or none at the moment, such as a service without a ready instance. It
    /// is looked up again for a few seconds at start-up, and as long as need be after that.
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
    /// The server, most likely a pooler, takes no start-up parameter such as `options`.
    StartupParameter,
    /// A pooler has dropped the start-up options, or shares the session with other clients.
    OptionsIgnored,
    /// The server has no TLS, which the settings ask for.
    TlsNotOffered,
    /// No authority that is trusted has signed the server's certificate.
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
    /// The proof of the password can't be bound to the TLS session, as the settings ask for.
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

    /// Whether the server's answer makes it pointless to try another host: libpq doesn't ask the
    /// next one either.
    pub(crate) fn is_final(self) -> bool {
        !self.is_transient()
    }

    /// Whether it is likely to pass: a name that isn't known is likely to be misspelt.
    pub(crate) fn may_pass(self) -> bool {
        self.is_transient() && self != Self::UnknownHost
    }

    /// For how long it is worth trying again at start-up.
    pub(crate) fn patience(self, startup_timeout: Duration) -> Duration {
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
                "no authority in `DB_SSLROOTCERT` has signed the server's certificate"
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

impl ConnectFailure {
    /// Its name in the metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::UnknownHost => "unknown_host",
            Self::NameLookup => "name_lookup",
            Self::Network => "network",
            Self::TimedOut => "timed_out",
            Self::BrokenOff => "broken_off",
            Self::NotReady => "not_ready",
            Self::TooManyConnections => "too_many_connections",
            Self::ReadOnly => "read_only",
            Self::ReadWrite => "read_write",
            Self::Standby => "standby",
            Self::Primary => "primary",
            Self::OutOfResources => "out_of_resources",
            Self::LocalResources => "local_resources",
            Self::PasswordMissing => "password_missing",
            Self::OptionsIgnored => "options_ignored",
            Self::Authentication => "authentication",
            Self::UnknownDatabase => "unknown_database",
            Self::StartupParameter => "startup_parameter",
            Self::TlsNotOffered => "tls_not_offered",
            Self::UnknownAuthority => "unknown_authority",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::HostNameMismatch => "host_name_mismatch",
            Self::Certificate => "certificate",
            Self::ClientCertificateRequired => "client_certificate_required",
            Self::ClientCertificateRejected => "client_certificate_rejected",
            Self::ChannelBinding => "channel_binding",
            Self::Handshake => "handshake",
            Self::Rejected => "rejected",
        }
    }
}

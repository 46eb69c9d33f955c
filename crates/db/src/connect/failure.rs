//! What a failure to connect means.

use std::error::Error as StdError;
use std::io;

use tokio::time::error::Elapsed;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;

use crate::connect_failure::ConnectFailure;
use crate::tls::{self, Handshake, Tls};
use crate::{pooler, verdict};

/// Too many open files, of the system and of the process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// A failed attempt on one host.
pub(crate) struct Failed {
    pub(crate) failure: ConnectFailure,
    pub(super) source: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether it may go better with TLS instead of without, or the other way round.
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

    pub(crate) fn lookup(error: io::Error) -> Self {
        // The resolver's error code is lost on the way; these are what glibc and macOS, and what
        // musl, say for the temporary one (EAI_AGAIN).
        let text = error.to_string();
        let temporary = text.contains("Temporary failure") || text.contains("Try again");
        let failure = match temporary {
            true => ConnectFailure::NameLookup,
            false => ConnectFailure::UnknownHost,
        };
        Self::because(failure, error)
    }

    pub(super) fn driver(error: tokio_postgres::Error, mode: SslMode, tls: &Tls) -> Self {
        // A server refuses a user, or a way to connect, with class 28, and a pooler with 08 or XX.
        // That is the answer to this way only if the connection was made this way.
        let turned_away = error
            .code()
            .is_some_and(|code| matches!(code.code().get(..2), Some("28" | "08" | "XX")));
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

    /// What failed once the log-in was accepted, and with it the way to connect. A server or a pooler that ends
    /// the connection then doesn't turn the user away, unless it says so: it is shut down, or what it was asked
    /// took too long.
    pub(super) fn after_log_in(error: tokio_postgres::Error, mode: SslMode, tls: &Tls) -> Self {
        let is_ended = error.as_db_error().is_some_and(|error| {
            let is_known = pooler::connect_failure(error.code(), error.message()).is_some();
            pooler::is_fatal(error) && !is_known
        });
        let failed = Self {
            other_way_may_do: false,
            ..Self::driver(error, mode, tls)
        };
        match failed.failure {
            ConnectFailure::Rejected if is_ended => Self {
                failure: ConnectFailure::BrokenOff,
                ..failed
            },
            _ => failed,
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
        _ if broke_off_within_message(error) => ConnectFailure::BrokenOff,
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => ConnectFailure::LocalResources,
        _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => {
            ConnectFailure::LocalResources
        }
        _ => ConnectFailure::Rejected,
    }
}

/// Whether the connection ended within a message, for which the codec has no kind.
fn broke_off_within_message(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other && error.to_string() == "bytes remaining on stream"
}

/// Which of the two failures helps more to put it right.
pub(super) fn more_telling(with_tls: Failed, without: Failed) -> Failed {
    // If one way gets as far as the password, the other way isn't allowed at all.
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

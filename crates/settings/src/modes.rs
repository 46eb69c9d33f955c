//! The words that choose between a few ways, as libpq or a pooler has them.

use crate::value::Word;

/// Whether connections are encrypted, and what is checked of the server: libpq's `sslmode`.
///
/// A Unix socket is never encrypted, whatever the mode. Where there are [root
/// certificates](crate::RootCertificates), the server's is checked against them in every mode but
/// `Disable`, as with `VerifyCa`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server doesn't let the user in without.
    Allow,
    /// If the server offers it and lets the user in with it; otherwise without, also if the
    /// handshake fails. A third party in between can prevent the encryption.
    #[default]
    Prefer,
    /// Always, with any server: a third party can't listen, but can take the server's place.
    Require,
    /// Always, and the server's certificate comes from a trusted authority.
    VerifyCa,
    /// Always, and that certificate is made out to the name of the host.
    VerifyFull,
}

impl Word for TlsMode {
    const WORDS: &[(&str, Self)] = &[
        ("disable", Self::Disable),
        ("allow", Self::Allow),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

/// Whether the proof of a password is valid only in the TLS session in which it is given: libpq's
/// `channel_binding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server offers it.
    #[default]
    Prefer,
    /// Always: a third party in between can't pass the proof on.
    Require,
}

impl Word for ChannelBinding {
    const WORDS: &[(&str, Self)] = &[
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
    ];
}

/// How long a connection to the server stays the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// For the whole session: a direct connection, or a pooler in session mode.
    #[default]
    Session,
    /// For one transaction: a pooler in transaction mode, where nothing may depend on the session.
    Transaction,
}

impl Word for PoolMode {
    const WORDS: &[(&str, Self)] = &[
        ("session", Self::Session),
        ("transaction", Self::Transaction),
    ];
}

/// Which of several hosts will do: libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetSessionAttrs {
    /// The first that lets the user in.
    #[default]
    Any,
    /// The first whose sessions may write: not a standby, nor one that is read-only by default.
    ReadWrite,
    /// The first whose sessions may not write.
    ReadOnly,
    /// The first that is no standby, even if it is read-only by default.
    Primary,
    /// The first that is a standby.
    Standby,
    /// The first that is a standby, or else the first that lets the user in.
    PreferStandby,
}

impl Word for TargetSessionAttrs {
    const WORDS: &[(&str, Self)] = &[
        ("any", Self::Any),
        ("read-write", Self::ReadWrite),
        ("read-only", Self::ReadOnly),
        ("primary", Self::Primary),
        ("standby", Self::Standby),
        ("prefer-standby", Self::PreferStandby),
    ];
}

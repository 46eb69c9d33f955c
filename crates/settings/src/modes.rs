/// Whether connections are encrypted: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it, which isn't asked as long as no TLS is built.
    #[default]
    Prefer,
}

impl TlsMode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "disable" => Some(Self::Disable),
            "prefer" => Some(Self::Prefer),
            _ => None,
        }
    }
}

/// How long a connection to the server stays the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PoolMode {
    /// For the whole session: a direct connection, or a pooler in session mode.
    #[default]
    Session,
    /// For one transaction: a pooler in transaction mode, where nothing may
    /// depend on the session.
    Transaction,
}

impl PoolMode {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "session" => Some(Self::Session),
            "transaction" => Some(Self::Transaction),
            _ => None,
        }
    }
}

/// Which of several hosts will do: libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetSessionAttrs {
    /// The first that lets the user in.
    #[default]
    Any,
    /// The first whose sessions may write: not a standby, nor one that is
    /// read-only by default.
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

impl TargetSessionAttrs {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "read-write" => Some(Self::ReadWrite),
            "read-only" => Some(Self::ReadOnly),
            "primary" => Some(Self::Primary),
            "standby" => Some(Self::Standby),
            "prefer-standby" => Some(Self::PreferStandby),
            _ => None,
        }
    }
}

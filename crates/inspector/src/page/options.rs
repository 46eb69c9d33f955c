//! What can be chosen of the page.

use std::fmt;
use std::time::Duration;

/// The names of this machine, under which the page always answers.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// What can be chosen of the page.
///
/// # Examples
///
/// ```
/// use inspector::page::{Options, Token};
///
/// let options = Options::new()
///     .host("agents.example.com")
///     .token(Token::generate());
/// assert!(!options.allow_writes);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The names under which the page answers, without a port.
    pub hosts: Vec<String>,
    /// What opens the page; none if everyone who reaches it may see it.
    pub token: Option<Token>,
    /// Whether the page may fork, answer questions, pin checkpoints and change the metadata of threads.
    pub allow_writes: bool,
    /// How many requests use the checkpointer at the same time. More of them wait, and are refused in
    /// the end: keep it below the size of the pool that the agents use as well.
    pub parallel: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// How many open pages are told of changes at once, by one watch for all. Others ask every other
    /// second.
    pub viewers: usize,
}

impl Options {
    /// Answers under the names of this machine, without a token, and only reads.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hosts: LOOPBACK.map(str::to_owned).to_vec(),
            token: None,
            allow_writes: false,
            parallel: 4,
            timeout: Duration::from_secs(30),
            viewers: 64,
        }
    }

    /// Adds a name under which browsers reach the page, such as `agents.example.com`. Defaults to the
    /// names of this machine.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Asks for a token. Defaults to none: behind a login, or on this machine only.
    #[must_use]
    pub fn token(self, token: Token) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Lets the page fork, answer questions, pin checkpoints and change the metadata of threads. Defaults
    /// to reading.
    #[must_use]
    pub fn allow_writes(self) -> Self {
        Self {
            allow_writes: true,
            ..self
        }
    }

    /// Chooses how many requests use the checkpointer at the same time; at least one. Defaults to 4.
    #[must_use]
    pub fn parallel(self, parallel: usize) -> Self {
        Self { parallel, ..self }
    }

    /// Chooses how long a request may take. Defaults to 30 seconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Chooses how many open pages are told of changes at once; 0 is none. Defaults to 64.
    #[must_use]
    pub fn viewers(self, viewers: usize) -> Self {
        Self { viewers, ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// What opens the page. No `Debug` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The fewest bytes that a token may have.
    pub const MIN_BYTES: usize = 16;

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// [`TokenTooShort`] if it could be guessed.
    pub fn new(token: impl Into<String>) -> Result<Self, TokenTooShort> {
        let token = token.into();
        if token.len() < Self::MIN_BYTES {
            return Err(TokenTooShort);
        }
        Ok(Self(token))
    }

    /// Makes a random token.
    #[must_use]
    pub fn generate() -> Self {
        Self(random())
    }

    /// Returns the token, for those who are to have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A token is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token must have at least {} bytes", Token::MIN_BYTES)]
pub struct TokenTooShort;

/// 244 bits that cannot be guessed, as text.
pub(super) fn random() -> String {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    half() + &half()
}

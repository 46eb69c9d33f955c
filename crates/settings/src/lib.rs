//! What the environment says about the database: typed, validated, secrets
//! hidden.
//!
//! [`Settings`] is read once, at start-up, from `DATABASE_URL` and the `DB_*`
//! variables. Nothing here opens a connection or knows a driver: hand the
//! settings to whatever does.
//!
//! - [`Settings::from_env`] reads the process environment.
//! - [`Settings::load`] reads a `.env` file too; a variable that is set wins.
//! - [`Settings::from_iter`] reads any list of names and values.
//! - [`Settings::from_url`] and [`Settings::builder`] are for programs without an environment.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! use settings::Settings;
//!
//! # fn main() -> settings::Result<()> {
//! let settings = Settings::from_iter([
//!     ("DATABASE_URL", "postgres://app:hunter2@db.internal/agents"),
//!     ("DB_POOL_MAX", "20"),
//!     ("DB_STATEMENT_TIMEOUT", "2min"),
//! ])?;
//!
//! assert_eq!(settings.dbname(), "agents");
//! assert_eq!(settings.pool_max(), 20);
//! assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(120)));
//! assert!(!format!("{settings:?}").contains("hunter2"));
//! # Ok(())
//! # }
//! ```
//!
//! # Variables
//!
//! | Variable | Unit | Default | Bounds | Meaning |
//! |---|---|---|---|---|
//! | `DATABASE_URL` | URL | required | below | Where the server is, and who connects |
//! | `DB_POOL_MIN` | count | `1` | `0` to `1000` | Connections the pool keeps idle, besides those in use; at most `DB_POOL_MAX` |
//! | `DB_POOL_MAX` | count | `10` | `1` to `1000` | Connections the pool opens at most |
//! | `DB_ACQUIRE_TIMEOUT` | duration | `5s` | `1ms` to `1h` | How long a caller waits for a connection |
//! | `DB_CONNECT_TIMEOUT` | duration | `5s` | `1ms` to `1h` | How long one attempt to connect to one host may take |
//! | `DB_STARTUP_TIMEOUT` | duration | `30s` | `1ms` to `1h`, or `0` | How long an unreachable server is tried again at start-up; `0` is one attempt |
//! | `DB_STATEMENT_TIMEOUT` | duration | `30s` | `1ms` to `24h`, or `off` | How long a statement may run |
//! | `DB_NETWORK_TIMEOUT` | duration | `10s` | `100ms` to `1h` | How long an answer may be overdue before the connection is given up |
//! | `DB_RETRY_TIMEOUT` | duration | `30s` | `1ms` to `1h`, or `0` | For how long an operation is tried again after a transient failure; `0` is one attempt |
//! | `DB_RETRY_ATTEMPTS` | count | `100` | `1` to `10000` | How often it is tried at most |
//! | `DB_RETRY_PAUSE` | duration | `2s` | `1ms` to `1h` | The longest pause between two attempts |
//! | `DB_IDLE_TIMEOUT` | duration | `10min` | `1s` to `24h`, or `off` | How long a connection may lie idle before it is closed |
//! | `DB_MAX_LIFETIME` | duration | `30min` | `1s` to `24h`, or `off` | How old a connection may become before it is replaced |
//! | `DB_APPLICATION_NAME` | text | not set | 1 to 63 bytes of printable ASCII | The name that `pg_stat_activity` shows; if not set the file name of the running program |
//! | `DB_SCHEMA` | text | not set | 1 to 63 bytes without NUL, not beginning with `pg_` | The schema that holds the tables; if not set one that is named like their set of migrations, such as `checkpointer` |
//! | `DB_SSLMODE` | word | `prefer` | `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full` | Whether connections are encrypted, and what is checked of the server, in libpq's words |
//! | `DB_SSLROOTCERT` | path | not set | a file, or `system` | The certificates that a server's own is checked against |
//! | `DB_SSLCERT` | path | not set | a file | What this program shows to a server that asks for a certificate |
//! | `DB_SSLKEY` | path | not set | a file | The private key of `DB_SSLCERT`; neither goes without the other |
//! | `DB_CHANNEL_BINDING` | word | `prefer` | `disable`, `prefer` or `require` | Whether the proof of a password is bound to the TLS session |
//! | `DB_POOL_MODE` | word | `session` | `session` or `transaction` | `transaction` behind a pooler that hands out a connection per transaction |
//!
//! A connection that went silent is given up `DB_NETWORK_TIMEOUT` after the
//! other system has ceased to acknowledge what is sent, or after a statement
//! should have ended by `DB_STATEMENT_TIMEOUT`, whichever is earlier. With that
//! off only the former counts.
//!
//! The `DB_RETRY_*` variables are for programs that try again, such as the
//! checkpointer. The pauses between attempts begin short, grow to
//! `DB_RETRY_PAUSE`, and are cut at random, so that many agents don't come back
//! at the same moment.
//!
//! A duration is a whole number and its unit: `500ms`, `5s`, `2min`, `1h`.
//! `off` and `0` mean the same where `off` is allowed.
//!
//! Whitespace around a value is ignored. A variable that is set to nothing is
//! refused: `DB_SCHEMA` that is empty by mistake would otherwise quietly look for
//! the tables somewhere else. If the same name comes twice, the later value
//! counts. An unknown `DB_*` variable is warned about, since it is most likely
//! misspelt, and otherwise ignored. Variables with other names are not looked
//! at.
//!
//! Certificates and keys are PEM files. Without root certificates, `require` and
//! what is weaker take any server's certificate, as in libpq; with them they
//! check it as `verify-ca` does. `system` stands for the certificates that the
//! system trusts; the mode is then `verify-full`, and must not be set to a weaker
//! one. The modes that verify need root certificates, and a client certificate
//! needs its key. Unlike in libpq there are no files with a meaning of their own
//! in the home directory, and one that is named but missing is an error unless the
//! mode is `disable`. Here paths are only taken down; whoever connects reads the
//! files.
//!
//! # The URL
//!
//! `postgres://user:password@host:port/dbname?parameter=value`, or
//! `postgresql://`. The user and the host are required: a service's role
//! shouldn't depend on the account it happens to run under. The port is 5432
//! and the database is named like the user if left out. Several hosts are
//! separated by commas, each with a port of its own. The directory of a Unix
//! socket is a percent-encoded host, `postgres://app@%2Frun%2Fpostgresql/agents`,
//! or the parameter `host`: `postgres://app@/agents?host=/run/postgresql`.
//!
//! Reserved characters in a name or password are percent-encoded. The URL
//! holds exactly one plain `@`: with a second one, what belongs to the password
//! would be a guess, and the rest of it would be taken for a host and logged.
//!
//! | Parameter | Variable that beats it | Value |
//! |---|---|---|
//! | `application_name` | `DB_APPLICATION_NAME` | as there |
//! | `channel_binding` | `DB_CHANNEL_BINDING` | as there |
//! | `connect_timeout` | `DB_CONNECT_TIMEOUT` | whole seconds, `1` to `3600` |
//! | `host` | | hosts as above but without ports, separated by commas: they are used instead of those before the path |
//! | `options` | | command-line options for the server; not in pool mode `transaction`, where poolers refuse them |
//! | `port` | | one port, or one for each host, separated by commas: they are used instead of those before the path |
//! | `sslcert` | `DB_SSLCERT` | as there |
//! | `sslkey` | `DB_SSLKEY` | as there |
//! | `sslmode` | `DB_SSLMODE` | as there |
//! | `sslrootcert` | `DB_SSLROOTCERT` | as there |
//! | `target_session_attrs` | | `any` (the default), `read-write`, `read-only`, `primary`, `standby` or `prefer-standby` |
//!
//! Any other parameter is refused, as libpq refuses it.
//!
//! With several hosts each new connection tries them in their order, and takes
//! the first that will do. For writes that is `read-write`: after a failover
//! the pool then finds the new primary by itself. A database to read from may
//! have `standby` or `prefer-standby`. [`TargetSessionAttrs`] says what each
//! means.
//!
//! # Secrets
//!
//! Errors and warnings name a variable and what was expected of it, never the
//! value, nor any part of the URL but the name of an unknown parameter. A
//! password is a [`Secret`], which `Debug` doesn't show.

mod builder;
mod settings;

mod host;
mod modes;
mod secret;
mod tls;

mod connection_url;
mod dotenv;
mod duration;
mod given;
mod program;
mod value;
mod variable;

mod error;

#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use error::{Error, Problem, Result};
pub use host::Host;
pub use modes::{ChannelBinding, PoolMode, TargetSessionAttrs, TlsMode};
pub use secret::Secret;
pub use settings::Settings;
pub use tls::{ClientCertificate, RootCertificates};

//! What the environment says about the database: typed, validated, secrets hidden.
//!
//! [`Settings`] is read once, at start-up, from `DATABASE_URL` and the `DB_*` variables. Nothing
//! here opens a connection or knows a driver: that is the task of the crate that takes the
//! settings.
//!
//! - [`Settings::from_env`] reads the process environment.
//! - [`Settings::load`] reads a `.env` file as well; a variable that is set wins.
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
//! | `DB_NETWORK_TIMEOUT` | duration | `10s` | `100ms` to `1h` | How long an answer may be overdue before the connection is closed |
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
//! A connection that went silent is closed `DB_NETWORK_TIMEOUT` after the other system has ceased
//! to acknowledge what is sent, or that long after a statement should have ended by
//! `DB_STATEMENT_TIMEOUT`, whichever is earlier. Without a statement time-out only the former
//! counts.
//!
//! The `DB_RETRY_*` variables say for how long, how often and how densely the crate `db` tries an
//! operation again that may be repeated. The pauses begin short, grow to `DB_RETRY_PAUSE`, and are
//! shortened at random, so that many callers don't come back at the same moment.
//!
//! A duration is a whole number and its unit: `500ms`, `5s`, `2min`, `1h`. Where `off` is allowed,
//! `0` means the same.
//!
//! Whitespace around a value is ignored. A variable that is set to nothing is refused: a
//! `DB_SCHEMA` that is empty by mistake would otherwise lead to other tables without a word. If the
//! same name comes twice, the later value counts.
//!
//! An unknown variable that looks like a misspelling of one of these, such as `DB_POOLMAX` or
//! `DB_SSL_MODE`, is an error that names the one that was probably meant. All others, such as the
//! `DB_HOST` of another program, are ignored.
//!
//! Certificates and keys are PEM files. Without root certificates, `require` and weaker modes take
//! any server's certificate, as in libpq; with them they check it as `verify-ca` does. `system`
//! stands for the certificates that the system trusts; the mode is then `verify-full`, and must not
//! be set to a weaker one. The modes that verify need root certificates, and a client certificate
//! needs its key. Unlike libpq, this crate looks for no files in the home directory, and a file
//! that is named but missing is an error unless the mode is `disable`. The settings hold paths
//! only: the program that connects reads the files.
//!
//! # The `.env` file
//!
//! [`Settings::load`] reads it if there is one. A line is `NAME=value`, which `export` may precede.
//! A value with spaces is in single or double quotes, which may span lines; a `#` after a space
//! begins a comment. If a name comes twice, the first line counts.
//!
//! `$NAME` and `${NAME}` stand for a variable of the environment, or else of a line further up,
//! except between single quotes. A `$` that stands for itself is written `\$`, or between single
//! quotes. Anything else with a `$`, and a name that isn't set, is an error that names the line,
//! because a password with a `$` in it would otherwise lose a part without a word. A `\` is written
//! `\\`.
//!
//! A line that names none of the variables above, nor looks like a misspelling of one, may be
//! anything. A line that the environment or a line further up beats isn't looked at.
//!
//! # The URL
//!
//! `postgres://user:password@host:port/dbname?parameter=value`, or `postgresql://`. The user and
//! the host are required: a service's role shouldn't depend on the account under which it happens
//! to run. Without a port it is 5432, and without a name the database is named like the user.
//! Several hosts are separated by commas, each with a port of its own. The directory of a Unix
//! socket is a percent-encoded host, `postgres://app@%2Frun%2Fpostgresql/agents`, or the parameter
//! `host`: `postgres://app@/agents?host=/run/postgresql`.
//!
//! Reserved characters in a name or a password are percent-encoded. The URL holds exactly one plain
//! `@`: with a second one it would be a guess where the password ends, and a part of the password
//! would be taken for a host and logged.
//!
//! | Parameter | Variable that beats it | Value |
//! |---|---|---|
//! | `application_name` | `DB_APPLICATION_NAME` | as there |
//! | `channel_binding` | `DB_CHANNEL_BINDING` | as there |
//! | `connect_timeout` | `DB_CONNECT_TIMEOUT` | whole seconds, `1` to `3600` |
//! | `host` | | hosts as above but without ports, separated by commas: they are used instead of those before the path |
//! | `options` | | command-line options for the server; in pool mode `transaction`, where poolers refuse them, none but Neon's `endpoint=…` |
//! | `pgbouncer` | `DB_POOL_MODE` | `true` is pool mode `transaction`, `false` is `session`: Prisma's word, as Supabase gives it |
//! | `port` | | one port, or one for each host, separated by commas: they are used instead of those before the path |
//! | `sslcert` | `DB_SSLCERT` | as there |
//! | `sslkey` | `DB_SSLKEY` | as there |
//! | `sslmode` | `DB_SSLMODE` | as there |
//! | `sslrootcert` | `DB_SSLROOTCERT` | as there |
//! | `target_session_attrs` | | `any` (the default), `read-write`, `read-only`, `primary`, `standby` or `prefer-standby` |
//!
//! Any other parameter is refused, as libpq refuses it. Those that libpq, other drivers and providers
//! know are answered by name: one that says what is done anyway, such as `client_encoding=UTF8`, is
//! taken, and the refusal of another says which variable to set instead.
//!
//! With several hosts each new connection tries them in their order, and takes the first that
//! `target_session_attrs` allows. For writes that is `read-write`: after a failover the pool then
//! finds the new primary by itself. A database to read from may have `standby` or `prefer-standby`.
//! [`TargetSessionAttrs`] says what each means.
//!
//! # Secrets
//!
//! Errors and logs name a variable and what was expected of it, never the value, nor any part of
//! the URL but the name of an unknown parameter. A password is a [`Secret`], which `Debug` doesn't
//! show.

mod builder;
mod settings;

mod host;
mod modes;
mod schema;
mod secret;
mod tls;

mod connection_url;
mod dotenv;
mod duration;
mod foreign;
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
pub use schema::{SCHEMA_NAME, is_schema_name};
pub use secret::Secret;
pub use settings::Settings;
pub use tls::{ClientCertificate, RootCertificates};

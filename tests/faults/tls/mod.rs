//! TLS, against servers that have certificates of the tests' own making, and with libpq as the
//! measure: `psql` is asked for the same on the same server.

mod authority;
mod cancel;
mod client_certificate;
mod failures;
mod files;
mod modes;
mod password;
mod pool;
mod psql;
mod server;
mod system;

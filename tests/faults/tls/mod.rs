//! TLS, against servers that have certificates of the tests' own making, and
//! with libpq as the measure: `psql` is asked for the same on the same server.

mod authority;
mod modes;
mod psql;
mod server;

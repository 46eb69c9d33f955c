//! The crate `db`, on a server.

mod cancel;
mod close;
mod connect;
mod dirty;
mod figures;
mod killed;
mod lifecycle;
mod locks;
mod logs;
mod migrate;
mod pool;
mod refused;
mod retry;
mod runtimes;
mod silence;
mod statements;
mod transaction;

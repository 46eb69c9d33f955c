//! The import of what LangGraph's PostgreSQL saver has stored.

mod compare;
mod damaged;
mod import;
mod refused;
mod restart;
mod source;

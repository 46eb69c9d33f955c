//! The names of channels that have a meaning of their own, as LangGraph has them.
//!
//! The first four are for pending writes: what a runtime notes about a task, rather than the task's
//! output. Such a write replaces the one before it, where a regular one stays as it is.

/// The error a task ended with.
pub const ERROR: &str = "__error__";

/// What a task has scheduled.
pub const SCHEDULED: &str = "__scheduled__";

/// The question at which a task stopped.
pub const INTERRUPT: &str = "__interrupt__";

/// The answers to a task's questions.
pub const RESUME: &str = "__resume__";

/// The only channel of a state that isn't a struct.
pub const ROOT: &str = "__root__";

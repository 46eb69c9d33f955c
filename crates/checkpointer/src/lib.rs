//! Checkpointer.

//! LangGraph's serialised values as readable JSON, and the import of what its PostgreSQL saver has
//! stored.
//!
//! [`Serialized`] is what LangGraph's Python serialiser makes of a value: the name of a type, and
//! bytes. Its form as JSON can be stored by a checkpointer and asked for in SQL, and turns into the
//! same bytes again. `docs/langgraph-values.md` has the table of the form's tags, and `vectors/` of
//! this crate has values with their forms.
//!
//! [`Import`] moves the threads of LangGraph's `PostgresSaver` to a checkpointer:
//! `docs/langgraph-import.md` says what comes over.
//!
//! No Python is needed, and no class is looked up: a message is an object with its fields and a tag.
//!
//! # Examples
//!
//! ```
//! use langgraph::Serialized;
//! use serde_json::json;
//!
//! let order = Serialized::from_json(&json!({
//!     "!": "2 shop.models Order", "number": 4711, "lines": [],
//!     "!order": "1 0",
//! }))?;
//! assert_eq!(order.type_name, "msgpack");
//! // In the order of the class: {"number": 4711, "lines": []}
//! assert!(order.bytes.ends_with(b"\x82\xa6number\xcd\x12\x67\xa5lines\x90"));
//! # Ok::<(), langgraph::Error>(())
//! ```

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test fails by panicking")
)]

mod error;
mod import;
mod values;

pub use error::{Error, Result};
pub use import::{Import, Loss, Place, Reason, Report};
pub use values::{FORMAT, Malformed, Serialized};
use values::{TAG, is_opaque};

//! LangGraph's serialised values and their form as JSON.

mod bytes;
mod form;
mod from_json;
mod msgpack;
mod order;
mod serialized;
mod to_json;

#[cfg(test)]
mod tests;

pub use form::Malformed;
pub(crate) use form::TAG;
pub use serialized::Serialized;
pub(crate) use serialized::is_opaque;

/// The version of the form. A later one adds tags, and never changes what a tag means; a tag that
/// isn't known is refused.
pub const FORMAT: u32 = 1;

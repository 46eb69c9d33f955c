//! MessagePack, in the one way in which `ormsgpack` writes it: every length and number in its
//! shortest form, every float with 64 bits.

mod read;
mod write;

pub(super) use read::{Reader, Token};
pub(super) use write::Writer;

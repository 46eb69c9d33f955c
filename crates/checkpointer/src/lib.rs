//! Checkpointer.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the storage uses it")
)]
mod codec;
#[cfg_attr(not(test), expect(dead_code, reason = "the typed threads use it"))]
mod typed {
    mod to_value;
}

//! What comes back, to the byte.

mod hostile;
mod random;
mod vectors;

use serde_json::Value;

use super::{Serialized, is_opaque};

/// Checks that a value comes back as it was, and returns its form.
#[track_caller]
fn check(serialized: &Serialized) -> Value {
    let form = serialized.to_json();
    match Serialized::from_json(&form) {
        Ok(back) => assert_eq!(back, *serialized, "its form is {form}"),
        Err(error) => panic!("{error:?} for {serialized:?}: {form}"),
    }
    form
}

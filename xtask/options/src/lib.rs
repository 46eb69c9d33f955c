//! The options of the programs that `cargo xtask` builds and runs.
//!
//! xtask parses them before it builds anything, so that help and mistakes are answered at once; the
//! program parses the same ones again.

pub mod bench;
pub mod demo;
pub mod inspect;
pub mod replay;
pub mod soak;
pub mod torture;

#[cfg(test)]
mod tests;

/// Parses a number above 0, up to `most`.
fn above_zero(text: &str, most: f64) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number <= most => Ok(number),
        _ => Err(format!("expected a number above 0, up to {most}")),
    }
}

/// Parses a whole number from 1.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number from 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

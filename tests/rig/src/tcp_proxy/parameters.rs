//! What a server reports about its parameters, which some proxies keep to themselves.

/// How a message begins by which a server reports a parameter.
const PARAMETER_STATUS: u8 = b'S';

/// The kind of a message, and its length, which doesn't count the kind.
const HEAD: usize = 5;

/// Takes the reports of parameters out of what a server sends on a connection without TLS.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// Whether a message has begun: before the first, the request for TLS is declined by one letter.
    has_begun: bool,
    /// The beginning of a message.
    rest: Vec<u8>,
}

impl Parameters {
    /// Returns what is left of the bytes, as far as they are whole messages.
    pub(super) fn hide(&mut self, bytes: &[u8]) -> Vec<u8> {
        if !self.has_begun && bytes == b"N" {
            return bytes.to_vec();
        }
        self.has_begun = true;
        self.rest.extend(bytes);
        let mut left = Vec::new();
        while let Some(length) = whole_message(&self.rest) {
            let message = self.rest.drain(..length);
            if message.as_slice()[0] != PARAMETER_STATUS {
                left.extend(message);
            }
        }
        left
    }
}

/// The length of the first message, if all of it is there.
fn whole_message(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..HEAD)?.try_into().ok()?;
    let length = 1 + u32::from_be_bytes(length) as usize;
    (length <= bytes.len()).then_some(length)
}

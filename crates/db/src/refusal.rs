//! What a server says instead of an answer, in the protocol's words.

use tokio_postgres::error::SqlState;

use crate::connect_failure::ConnectFailure;
use crate::verdict;

/// A longer message isn't one of the protocol that is spoken now: its length is a part of a text.
const LONGEST_MESSAGE: u32 = 30_000;

/// What a server has said instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{severity}: {message}")]
pub(crate) struct Refusal {
    severity: String,
    message: String,
    pub(crate) code: Option<SqlState>,
}

impl Refusal {
    /// Of a message of the protocol, or of the mere text that a server sends before it has a
    /// process for the connection.
    pub(crate) fn parse(answer: &[u8]) -> Self {
        match answer.split_first_chunk() {
            Some((length, fields)) if u32::from_be_bytes(*length) <= LONGEST_MESSAGE => {
                let field = |kind| find(fields, kind);
                Self {
                    severity: field(b'S').unwrap_or_default(),
                    message: field(b'M').unwrap_or_default(),
                    code: field(b'C').map(|code| SqlState::from_code(&code)),
                }
            }
            _ => Self {
                severity: "FATAL".to_owned(),
                message: text(answer).trim_end().to_owned(),
                code: None,
            },
        }
    }

    pub(crate) fn failure(&self) -> ConnectFailure {
        match &self.code {
            Some(code) => verdict::refused(code, &self.message),
            // Such a text is all that a server sends that can't start another process.
            None => ConnectFailure::OutOfResources,
        }
    }
}

fn find(fields: &[u8], kind: u8) -> Option<String> {
    let mut fields = fields.split(|byte| *byte == 0);
    fields.find_map(|field| match field.split_first() {
        Some((first, value)) if *first == kind => Some(text(value)),
        _ => None,
    })
}

fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

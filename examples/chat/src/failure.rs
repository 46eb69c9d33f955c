//! What a request fails with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use checkpointer::{CheckpointId, Error, ErrorKind};
use serde_json::json;

/// A failure. The client learns what it can do, the log learns why.
#[derive(Debug)]
pub enum Failure {
    /// The conversation has gone on since the client saw it.
    TooLate {
        /// Where it is now.
        head: Option<CheckpointId>,
    },
    /// The checkpointer refuses it, or failed.
    Checkpointer(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { head, .. } => Self::TooLate { head },
            other => Self::Checkpointer(other),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::TooLate { head } => {
                let head = head.as_ref().map(CheckpointId::as_str);
                (StatusCode::CONFLICT, Json(json!({ "head": head }))).into_response()
            }
            Self::Checkpointer(error) => {
                let status = status(error.kind());
                if status.is_server_error() {
                    log(&error);
                }
                (status, Json(json!({ "error": error.kind().as_str() }))).into_response()
            }
        }
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[expect(clippy::print_stderr, reason = "the log of an example")]
fn log(error: &Error) {
    eprintln!("error: {}", error.for_log());
}

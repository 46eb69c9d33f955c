//! Answers that say what is wrong.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use checkpointer::{Error, ErrorKind};

use super::shown::Frame;

/// What is wrong if the database doesn't answer, and what can be done.
const SILENT: &str = "the database is down, can't be reached, or is too busy to answer. The log of the \
                      program that serves this page says why. Load the page again in a moment";

/// A page that says what is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    what: String,
}

/// What an answer says is wrong, for those that go into a page.
#[derive(Debug, Clone)]
struct Said(String);

#[derive(Template)]
#[template(path = "problem-part.html")]
struct Part<'a> {
    what: &'a str,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    frame: Frame,
    status: StatusCode,
    what: &'a str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { status, what }
    }

    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }

    pub(super) fn busy() -> Self {
        let what = "too many requests at once; try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, what)
    }

    /// A request that only reads, or one that writes, has taken too long.
    pub(super) fn too_slow(writes: bool) -> Self {
        let what =
            "it took too long, and was given up: the database is busy, or this is very large";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, unknown(what, writes))
    }

    /// The database doesn't answer, at a request that only reads or at one that writes.
    pub(super) fn silent(writes: bool) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, unknown(SILENT, writes))
    }

    /// Someone else has answered, or the task has asked something else.
    pub(super) fn asked_otherwise() -> Self {
        let what = "the task was answered since the page was loaded, or asks something else now: load it again";
        Self::new(StatusCode::CONFLICT, what)
    }

    pub(super) fn broken() -> Self {
        let what = "the checkpoint could not be shown";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what)
    }

    pub(super) fn no_host() -> Self {
        Self::malformed("the request names no host, or several")
    }

    pub(super) fn foreign_host() -> Self {
        let what = "the page doesn't answer under this name; start it with `--host NAME`, or name it \
                    in its `Options::host`";
        Self::new(StatusCode::MISDIRECTED_REQUEST, what)
    }

    pub(super) fn foreign_site() -> Self {
        Self::new(StatusCode::FORBIDDEN, "another site sent this request")
    }

    pub(super) fn forged() -> Self {
        let what =
            "the form isn't of this page, or the page was started again since: load it again";
        Self::new(StatusCode::FORBIDDEN, what)
    }
}

/// What is wrong, and for a request that writes, that nobody knows what has come of it.
fn unknown(what: &str, writes: bool) -> String {
    let unknown = match writes {
        true => ". It isn't known whether the change was made: look before you send it again",
        false => "",
    };
    format!("{what}{unknown}")
}

/// Answers a request for a part of a page with a part that says what is wrong.
pub(super) async fn fit(request: Request, next: Next) -> Response {
    let asks_for_part = request.headers().contains_key("hx-request");
    let mut answer = next.run(request).await;
    let said = answer
        .extensions_mut()
        .remove::<Said>()
        .filter(|_| asks_for_part);
    let part = said.and_then(|Said(what)| Part { what: &what }.render().ok());
    if let Some(part) = part {
        answer.headers_mut().remove(CONTENT_LENGTH);
        *answer.body_mut() = part.into();
    }
    answer
}

/// The answer to a path that isn't one of the page's.
pub(super) async fn no_such_page() -> Problem {
    Problem::not_found("there is no such page")
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Gone => StatusCode::GONE,
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        // The page doesn't say why: the cause may name what not all who see it should know.
        if status.is_server_error() {
            tracing::warn!(error = %error.for_log(), "a request of the page failed");
        }
        match error {
            Error::Database { .. } if status == StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(status, format!("{error}: {SILENT}"))
            }
            _ => Self::new(status, error.to_string()),
        }
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, what } = &self;
        let frame = Frame::new("A problem");
        let page = Page {
            frame,
            status: *status,
            what,
        };
        let mut answer = match page.render() {
            Ok(page) => (*status, Html(page)).into_response(),
            Err(_) => (*status, [(CONTENT_TYPE, "text/plain")], what.clone()).into_response(),
        };
        answer.extensions_mut().insert(Said(what.clone()));
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, 2.into());
        }
        answer
    }
}

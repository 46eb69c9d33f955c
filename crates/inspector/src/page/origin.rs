//! Which requests are the page's own: by the name it is reached under, and by the site that sends them.
//!
//! A foreign site can make a browser send requests here: by a name of its own that leads to this
//! machine (DNS rebinding), or across sites. Neither gets an answer from the checkpointer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;

use super::app::App;
use super::problem::Problem;

/// Refuses requests to foreign names and from foreign sites.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let authority = authority(request.uri(), request.headers()).ok_or_else(Problem::no_host)?;
    let name = name(authority);
    if !app
        .options
        .hosts
        .iter()
        .any(|host| host.eq_ignore_ascii_case(name))
    {
        return Err(Problem::foreign_host());
    }
    if !is_own(request.method(), request.headers(), authority) {
        return Err(Problem::foreign_site());
    }
    Ok(next.run(request).await)
}

/// The host and port that the request is for, if it names them once.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?),
        (None, _) => None,
        _ => return None,
    };
    host.or_else(|| Some(uri.authority()?.as_str()))
}

/// The host without its port. An address of version 6 keeps its brackets.
fn name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Whether the page itself sends the request, or a person who follows a link to it.
fn is_own(method: &Method, headers: &HeaderMap, authority: &str) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let same_origin = match headers.get(ORIGIN) {
        Some(origin) => {
            let origin = origin.to_str().unwrap_or_default();
            let sent_from = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            if !sent_from.is_some_and(|sent_from| sent_from.eq_ignore_ascii_case(authority)) {
                return false;
            }
            true
        }
        None => false,
    };
    match text("sec-fetch-site") {
        Some("same-origin") => true,
        Some("none") => reads,
        // A link from elsewhere to a page, in a tab and not in a frame.
        Some(_) => {
            reads
                && text("sec-fetch-mode") == Some("navigate")
                && text("sec-fetch-dest") == Some("document")
        }
        None => reads || same_origin,
    }
}

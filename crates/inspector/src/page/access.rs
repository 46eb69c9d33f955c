//! Who may see the page, where it has a token.

use std::sync::Arc;

use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::links;
use super::login;
use super::options::Token;

/// The parameter of a link that opens the page.
const TOKEN: &str = "token";

/// Knows the token, and who has shown it before.
pub(super) struct Access {
    token: blake3::Hash,
    /// The cookie's name differs between tokens: cookies of one machine are shared by its ports.
    cookie: String,
    /// What the cookie has, which doesn't tell the token.
    session: blake3::Hash,
}

impl Access {
    pub(super) fn new(token: &Token) -> Self {
        let secret = token.as_str().as_bytes();
        let session = blake3::derive_key("checkpointer inspector: session", secret);
        let name = blake3::derive_key("checkpointer inspector: name of the cookie", secret);
        let name = blake3::Hash::from(name).to_hex();
        Self {
            token: blake3::hash(secret),
            cookie: format!("inspector_{}", &name[..12]),
            session: session.into(),
        }
    }

    /// Whether this is the token. The time it takes says nothing of where they differ.
    pub(super) fn opens(&self, token: &str) -> bool {
        blake3::hash(token.as_bytes()) == self.token
    }

    /// Whether the request shows the token, or the cookie that it was answered with.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        bearer.is_some_and(|token| self.opens(token)) || self.has_cookie(headers)
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
        let mut cookies = cookies.flat_map(|cookies| cookies.split(';'));
        cookies.any(|cookie| match cookie.trim().split_once('=') {
            Some((name, value)) if name == self.cookie => {
                blake3::Hash::from_hex(value).is_ok_and(|session| session == self.session)
            }
            _ => false,
        })
    }

    /// The answer that goes to `location` and lets the browser in. It names no path: the browser takes
    /// that of the page.
    pub(super) fn enter(&self, headers: &HeaderMap, location: &str) -> Response {
        let encrypted = headers
            .get("x-forwarded-proto")
            .is_some_and(|proto| proto == "https");
        let secure = if encrypted { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; HttpOnly; SameSite=Lax{secure}",
            self.cookie,
            self.session.to_hex()
        );
        let headers = [(SET_COOKIE, cookie), (LOCATION, location.to_owned())];
        (StatusCode::SEE_OTHER, headers).into_response()
    }
}

/// Lets those in who know the token. A link with the token leads to the same place without it.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    OriginalUri(original): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    let Some(access) = &app.access else {
        return next.run(request).await;
    };
    let headers = request.headers();
    let (token, without) = links::take(request.uri().query().unwrap_or_default(), TOKEN);
    if let Some(token) = token {
        return match access.opens(&token) {
            true => access.enter(headers, &here(&original, &without)),
            false => login::form(&app, &here(&original, &without), true),
        };
    }
    if access.knows(headers) {
        return next.run(request).await;
    }
    login::form(&app, &here(&original, &without), false)
}

/// The place of a request, relative to itself, so that it holds under any path.
fn here(original: &Uri, query: &str) -> String {
    let page = original.path().rsplit('/').next().unwrap_or_default();
    let page = if page.is_empty() { "./" } else { page };
    match query {
        "" => page.to_owned(),
        query => format!("{page}?{query}"),
    }
}

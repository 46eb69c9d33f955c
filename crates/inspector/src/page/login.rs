//! The form that asks for the token.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

use super::app::App;
use super::problem::Problem;
use super::shown::Frame;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/login", post(enter))
}

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    frame: Frame,
    to: &'a str,
    wrong: bool,
}

/// The form that asks for the token, and leads to `to` afterwards.
pub(super) fn form(_app: &App, to: &str, wrong: bool) -> Response {
    let frame = Frame::new("Log in");
    let page = Page { frame, to, wrong };
    match page.render() {
        Ok(page) => (StatusCode::UNAUTHORIZED, Html(page)).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

#[derive(Deserialize)]
struct Login {
    token: String,
    to: String,
}

async fn enter(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let to = if is_own(&login.to) {
        &login.to
    } else {
        "threads"
    };
    match &app.access {
        Some(access) if access.opens(&login.token) => access.enter(&headers, to),
        Some(_) => form(&app, to, true),
        None => Problem::not_found("there is no such page").into_response(),
    }
}

/// Whether a place is one of the page's: a name and parameters, which lead to no other site.
fn is_own(to: &str) -> bool {
    let page = to.split('?').next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !page.is_empty() && page.bytes().all(plain) && to.bytes().all(|byte| byte.is_ascii_graphic())
}

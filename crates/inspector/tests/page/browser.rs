//! Sends requests as a browser does.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderMap, Request, StatusCode};
use checkpointer::Checkpointer;
use http_body_util::BodyExt as _;
use inspector::page::{Options, router};
use tower::ServiceExt as _;

/// The name that the page is reached under.
pub(crate) const HERE: &str = "127.0.0.1:7788";

/// A page without a network.
pub(crate) struct Browser {
    router: Router,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new(checkpointer: impl Checkpointer, options: Options) -> Self {
        Self::of(router(Arc::new(checkpointer), options))
    }

    pub(crate) fn of(router: Router) -> Self {
        Self { router }
    }

    /// Opens a link.
    pub(crate) async fn get(&self, link: &str) -> Answer {
        self.send(request("GET", link, &[])).await
    }

    /// Opens a link with further headers.
    pub(crate) async fn get_with(&self, link: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request("GET", link, headers)).await
    }

    /// Sends a form of the page's own.
    pub(crate) async fn post(&self, link: &str, form: &str) -> Answer {
        let origin = format!("http://{HERE}");
        self.post_with(link, form, &[("origin", &origin)]).await
    }

    pub(crate) async fn post_with(
        &self,
        link: &str,
        form: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = request("POST", link, headers);
        *request.body_mut() = Body::from(form.to_owned());
        let form = "application/x-www-form-urlencoded".parse().unwrap();
        request.headers_mut().insert("content-type", form);
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Follows every link from `start` on, and what a click or a look would load, and returns all answers.
    pub(crate) async fn crawl(&self, start: &str) -> Vec<(String, Answer)> {
        let mut open = vec![start.to_owned()];
        let mut seen = BTreeSet::new();
        let mut answers = Vec::new();
        while let Some(link) = open.pop() {
            if !seen.insert(link.clone()) {
                continue;
            }
            let answer = self.get(&link).await;
            open.extend(answer.links());
            answers.push((link, answer));
        }
        answers
    }
}

impl Answer {
    /// The links in it, as a browser reads them.
    pub(crate) fn links(&self) -> Vec<String> {
        let attributes = ["href=\"", "hx-get=\"", "data-poll=\""];
        let values = attributes
            .iter()
            .flat_map(|attribute| self.body.split(attribute).skip(1));
        let values = values.filter_map(|rest| Some(rest.split_once('"')?.0));
        values
            .map(|value| value.replace("&#38;", "&").replace("&amp;", "&"))
            .collect()
    }

    /// The value of an attribute, the first of that name.
    pub(crate) fn value(&self, name: &str) -> String {
        let (_, rest) = self.body.split_once(&format!("{name}=\"")).unwrap();
        let (value, _) = rest.split_once('"').unwrap();
        value.replace("&#38;", "&")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }
}

pub(crate) fn request(method: &str, link: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("/{link}"));
    if !headers.iter().any(|(name, _)| *name == HOST) {
        request = request.header(HOST, HERE);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

//! Foreign names and foreign sites get nothing.

use axum::http::StatusCode;
use checkpointer::MemoryCheckpointer;
use inspector::page::Options;
use rig::Story;

use crate::browser::{Browser, HERE, request};

async fn browser() -> Browser {
    let memory = MemoryCheckpointer::new();
    Story::new(&memory, "support-4711").support().await;
    Browser::new(
        memory,
        Options::new().host("agents.example.com").allow_writes(),
    )
}

const PAGES: [&str; 6] = [
    "threads",
    "thread?id=support-4711",
    "history?id=support-4711",
    "checkpoint?id=support-4711",
    "value?id=support-4711&path=/state/messages",
    "about?id=support-4711",
];

#[tokio::test]
async fn a_name_that_leads_here_but_is_not_the_pages_gets_nothing() {
    let browser = browser().await;
    let foreign = [
        "evil.example",
        "evil.example:7788",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "[::2]",
        "agents.example.com.",
        "",
    ];
    for host in foreign {
        for page in PAGES {
            let answer = browser.get_with(page, &[("host", host)]).await;
            assert_eq!(
                answer.status,
                StatusCode::MISDIRECTED_REQUEST,
                "{host} {page}"
            );
            assert!(!answer.body.contains("4711"), "{host} {page}");
        }
    }
}

#[tokio::test]
async fn the_names_of_the_page_are_answered_with_any_port() {
    let browser = browser().await;
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1:7788",
        "[::1]",
        "[::1]:80",
        "agents.example.com",
        "Agents.Example.COM:443",
    ] {
        let answer = browser.get_with("threads", &[("host", host)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_request_with_two_names_or_none_is_refused() {
    let browser = browser().await;
    let two = browser
        .get_with("threads", &[("host", HERE), ("host", "evil.example")])
        .await;
    assert_eq!(two.status, StatusCode::BAD_REQUEST);
    let mut request = request("GET", "threads", &[]);
    request.headers_mut().remove("host");
    assert_eq!(browser.send(request).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_foreign_site_reads_nothing() {
    let browser = browser().await;
    let foreign: [&[(&str, &str)]; 6] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "image"),
        ],
        &[
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
        ],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ],
    ];
    for headers in foreign {
        for page in PAGES {
            let answer = browser.get_with(page, headers).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?} {page}");
            assert!(!answer.body.contains("4711"), "{headers:?} {page}");
        }
    }
}

#[tokio::test]
async fn a_link_from_elsewhere_opens_a_page_in_a_tab() {
    let browser = browser().await;
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let answer = browser.get_with("thread?id=support-4711", &link).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_foreign_site_sends_no_form() {
    let browser = browser().await;
    let foreign: [&[(&str, &str)]; 6] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:7788.evil.example")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ],
        &[("sec-fetch-site", "none")],
    ];
    for headers in foreign {
        for page in ["fork", "answer", "metadata", "pin", "login"] {
            let answer = browser.post_with(page, "id=support-4711", headers).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?} {page}");
        }
    }
}

#[tokio::test]
async fn every_answer_forbids_the_browser_what_the_page_does_not_need() {
    let browser = browser().await;
    let style = browser
        .get("threads")
        .await
        .links()
        .into_iter()
        .find(|link| link.ends_with("page.css"));
    let style = style.unwrap();
    let refused = browser
        .get_with("threads", &[("host", "evil.example")])
        .await;
    let mut answers = vec![
        refused,
        browser.get("nothing").await,
        browser.get(&style).await,
    ];
    for page in PAGES {
        answers.push(browser.get(page).await);
    }
    for answer in answers {
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("x-robots-tag"), "noindex, nofollow");
        assert!(answer.header("access-control-allow-origin").is_empty());
    }
    let cached = browser.get(&style).await;
    assert!(cached.header("cache-control").contains("immutable"));
    assert_eq!(
        browser.get("threads").await.header("cache-control"),
        "no-store"
    );
}

//! Without the token there is nothing to see, and the token is never shown.

use axum::http::StatusCode;
use checkpointer::MemoryCheckpointer;
use inspector::page::{Options, Token};
use rig::Story;

use crate::browser::{Answer, Browser};

const TOKEN: &str = "a-token-that-is-long-enough&=?";
const IN_LINK: &str = "a-token-that-is-long-enough%26%3D%3F";

async fn browser() -> Browser {
    let memory = MemoryCheckpointer::new();
    Story::new(&memory, "support-4711").support().await;
    Browser::new(memory, Options::new().token(Token::new(TOKEN).unwrap()))
}

/// The cookie that an answer sets, as the browser sends it back.
fn cookie(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn without_the_token_every_page_asks_for_it() {
    let browser = browser().await;
    let pages = [
        "",
        "threads",
        "thread?id=support-4711",
        "history?id=support-4711",
        "checkpoint?id=support-4711",
        "value?id=support-4711&path=/state/messages",
        "messages?id=support-4711&path=/state/messages&before=9",
        "compare?id=support-4711",
        "about?id=support-4711",
        "size?id=support-4711",
        "changes?id=support-4711",
    ];
    for page in pages {
        let headers: [&[(&str, &str)]; 3] = [
            &[],
            &[("cookie", "inspector_=x")],
            &[("authorization", "Bearer wrong")],
        ];
        for headers in headers {
            let answer = browser.get_with(page, headers).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{page}");
            assert!(!answer.body.contains("order"), "{page}");
        }
    }
    let wrong = browser.get("threads?token=wrong").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_link_with_the_token_opens_the_same_place_without_it() {
    let browser = browser().await;
    let answer = browser
        .get(&format!("thread?id=support-4711&token={IN_LINK}&at="))
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.location(), "thread?id=support-4711&at=");
    let cookie = cookie(&answer);
    assert!(!cookie.contains("a-token"));
    let page = browser
        .get_with(answer.location(), &[("cookie", &cookie)])
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("support-4711"));
}

#[tokio::test]
async fn the_form_takes_the_token_and_leads_back() {
    let browser = browser().await;
    let form = format!("token={IN_LINK}&to=thread%3Fid%3Dsupport-4711");
    let answer = browser.post("login", &form).await;
    assert_eq!(answer.location(), "thread?id=support-4711");
    let cookie = cookie(&answer);
    let page = browser.get_with("threads", &[("cookie", &cookie)]).await;
    assert_eq!(page.status, StatusCode::OK);
    let wrong = browser.post("login", "token=wrong&to=threads").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.header("set-cookie").is_empty());
}

#[tokio::test]
async fn the_form_leads_to_no_other_site() {
    let browser = browser().await;
    for to in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "thread\r\nx: y",
        "",
    ] {
        let to = to
            .replace('\r', "%0D")
            .replace('\n', "%0A")
            .replace('\\', "%5C");
        let answer = browser
            .post("login", &format!("token={IN_LINK}&to={to}"))
            .await;
        assert_eq!(answer.location(), "threads", "{to}");
    }
}

#[tokio::test]
async fn a_program_shows_the_token_in_a_header() {
    let browser = browser().await;
    let bearer = format!("Bearer {TOKEN}");
    let answer = browser
        .get_with("threads", &[("authorization", &bearer)])
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let browser = browser().await;
    let bearer = format!("Bearer {TOKEN}");
    for page in [
        "threads",
        "thread?id=support-4711",
        "nothing",
        &format!("threads?token={IN_LINK}x"),
    ] {
        let answer = browser.get_with(page, &[("authorization", &bearer)]).await;
        assert!(!format!("{answer:?}").contains("a-token"), "{page}");
    }
    let options = Options::new().token(Token::new(TOKEN).unwrap());
    assert!(!format!("{options:?}").contains("a-token"));
}

#[test]
fn a_token_that_could_be_guessed_is_refused() {
    assert!(Token::new("hunter2").is_err());
    assert_ne!(Token::generate(), Token::generate());
    assert!(Token::generate().as_str().len() >= 32);
}

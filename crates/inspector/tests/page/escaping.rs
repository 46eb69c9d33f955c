//! Text of others stays text, wherever a thread may hold it.

use checkpointer::MemoryCheckpointer;
use checkpointer::serde_json::json;
use inspector::page::{Options, Token};
use rig::Story;

use crate::browser::{Answer, Browser};

const HOSTILE: [&str; 9] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</textarea></pre></title><svg onload=alert(1)>",
    "javascript:alert(1)//<a href=javascript:alert(1)>",
    "{{ 7 * 7 }}<!-- --><base href=//evil.example>",
    "<div hx-get=//evil.example hx-trigger=load>",
    "https://evil.example/\u{202e}fdp\u{200b}",
    "/../..//%2e%2e?id=1&at=2#\\",
];

/// Characters that aren't seen. Only fields have them as they are: what they hold is sent back.
const HIDDEN: [char; 2] = ['\u{202e}', '\u{200b}'];

#[tokio::test]
async fn nothing_in_a_thread_becomes_part_of_the_page() {
    let memory = MemoryCheckpointer::new();
    Story::new(&memory, "hostile").hostile(&HOSTILE).await;
    for thread_id in HOSTILE {
        let story = Story::new(&memory, thread_id);
        story.begin(vec![(thread_id, json!(thread_id))]).await;
        story.set_metadata(json!({ thread_id: thread_id })).await;
    }
    let browser = Browser::new(memory, Options::new().allow_writes());
    let answers = browser.crawl("threads").await;
    assert!(answers.len() > 250, "only {} answers", answers.len());
    check_all(&answers);
}

#[tokio::test]
async fn what_a_link_has_in_it_does_not_become_part_of_the_page() {
    let memory = MemoryCheckpointer::new();
    Story::new(&memory, "support-4711").support().await;
    let token = Token::new("a token that is long enough").unwrap();
    let browser = Browser::new(memory.clone(), Options::new().allow_writes());
    let locked = Browser::new(memory, Options::new().token(token));
    for text in HOSTILE {
        let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for link in [
            format!("threads?q={text}"),
            format!("threads?metadata={text}"),
            format!("threads?metadata={text}%3D{text}"),
            format!("threads?state={text}%3D{text}&order={text}"),
            format!("threads?q=4711&after={text}&changed=7"),
            format!("thread?id={text}"),
            format!("thread?id=support-4711&ns={text}"),
            format!("thread?id=support-4711&at={text}"),
            format!("thread?id=support-4711&text={text}&node={text}&source={text}&changed={text}"),
            format!("thread?id=support-4711&steps={text}"),
            format!("thread?id=support-4711&pinned={text}&text=e"),
            format!("history?id=support-4711&before={text}&lanes={text}"),
            format!("value?id=support-4711&path={text}"),
            format!("messages?id=support-4711&path={text}&before=1"),
            format!("compare?id=support-4711&with={text}&with_ns={text}"),
            format!("about?id={text}"),
            format!("size?id={text}"),
            format!("assets/{text}/{text}"),
            text,
        ] {
            for browser in [&browser, &locked] {
                check(&link, &browser.get(&link).await.body);
            }
        }
    }
}

fn check_all(answers: &[(String, Answer)]) {
    for (link, answer) in answers {
        let is_asset = link.starts_with("assets/");
        assert!(
            is_asset || answer.status.is_success() || answer.status.is_redirection(),
            "{link}: {}",
            answer.status
        );
        if !is_asset {
            check(link, &answer.body);
        }
    }
}

/// Reads a page as a browser does, and checks that it holds only what its templates have.
fn check(link: &str, body: &str) {
    for tag in tags(body) {
        let is_field = tag.starts_with("input ");
        assert!(
            is_field || !tag.contains(HIDDEN),
            "{link} hides characters: <{tag}"
        );
        let name = tag
            .split([' ', '>', '/'])
            .find(|name| !name.is_empty())
            .unwrap_or_default();
        assert!(
            !["img", "base", "iframe", "object", "embed", "style"].contains(&name),
            "{link}: <{tag}"
        );
        for (attribute, value) in attributes(tag) {
            assert!(!attribute.starts_with("on"), "{link}: <{tag}");
            assert_ne!(attribute, "style", "{link}: <{tag}");
            let is_link = [
                "href",
                "src",
                "action",
                "hx-get",
                "hx-replace-url",
                "data-poll",
                "data-changes",
            ]
            .contains(&&*attribute);
            let to = value.split('?').next().unwrap_or_default();
            let is_own = to
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte))
                && !to.starts_with('/')
                && !to.contains("..");
            assert!(!is_link || is_own, "{link}: <{tag}");
        }
    }
    // What is behind the tags: the texts.
    let mut texts = body.split('<').filter_map(|part| part.rsplit_once('>'));
    assert!(
        !texts.any(|(_, text)| text.contains(HIDDEN)),
        "{link} hides characters"
    );
    let scripts = tags(body).filter(|tag| tag.starts_with("script")).count();
    let own = body.matches("<script src=\"assets/").count();
    assert_eq!(scripts, own, "{link}");
}

/// What stands between `<` and the `>` that ends the tag, outside of quotes.
fn tags(body: &str) -> impl Iterator<Item = &str> {
    body.split('<').skip(1).map(|rest| {
        let mut quoted = false;
        let end = rest.find(|char| {
            quoted ^= char == '"';
            char == '>' && !quoted
        });
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// The attributes of a tag, whose values all have double quotes but for those of htmx's configuration.
fn attributes(tag: &str) -> Vec<(String, String)> {
    let mut parts = tag.split('"');
    let mut attributes = Vec::new();
    while let (Some(before), Some(value)) = (parts.next(), parts.next()) {
        let name = before
            .trim()
            .trim_end_matches('=')
            .rsplit(' ')
            .next()
            .unwrap_or_default();
        attributes.push((name.to_owned(), value.to_owned()));
    }
    attributes
}

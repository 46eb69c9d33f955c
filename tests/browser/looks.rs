//! It reads well on a phone, in the dark, by keyboard and by a screen reader.

use checkpointer::serde_json::json;
use inspector::page::Options;
use rig::Story;

use crate::chromium::{Chromium, DESK, PHONE};
use crate::served::Served;

/// What no screen reader could name: fields and buttons without a name, pictures that aren't hidden.
const NAMELESS: &str = "Array.from(document.querySelectorAll('button, input:not([type=hidden]), select, textarea, a, meter, svg')).filter((one) => !(
    one.closest('label') || one.getAttribute('aria-label') || one.textContent.trim() || one.getAttribute('aria-hidden') === 'true'
)).map((one) => one.outerHTML)";

/// Texts whose contrast with what is behind them is less than 4.5 to 1.
const FAINT: &str = "(() => {
    const parse = (color) => {
        const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
        canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        return Array.from(canvas.getImageData(0, 0, 1, 1).data);
    };
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
        .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (one) => {
        for (let at = one; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (!/, 0\\)$|transparent/.test(color)) return color;
        }
        return getComputedStyle(document.documentElement).backgroundColor;
    };
    return Array.from(document.querySelectorAll('body *')).filter((one) =>
        Array.from(one.childNodes).some((node) => node.nodeType === 3 && node.data.trim()) && !one.closest('.unseen, ins, del, option')
    ).map((one) => {
        const [a, b] = [light(parse(getComputedStyle(one).color)), light(parse(behind(one)))];
        return [one.outerHTML.slice(0, 80), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    }).filter(([, contrast]) => contrast < 4.5);
})()";

/// What opens a part and is lower than a finger can hit: 24 pixels.
const NARROW: &str = "Array.from(document.querySelectorAll('summary')).filter((one) => \
    one.checkVisibility() && one.getBoundingClientRect().height < 24).map((one) => one.outerHTML)";

#[tokio::test]
async fn each_page_fits_a_phone_and_can_be_read_in_the_dark_and_in_the_light() {
    let served = Served::new(Options::new().allow_writes()).await;
    let support = Story::new(&served.checkpointer, "support-4711")
        .support()
        .await;
    let long = "a-thread-with-a-long-name-".repeat(8);
    let wide = json!({ "key-".repeat(40): "wide".repeat(100), "text": "w".repeat(3_000) });
    Story::new(&served.checkpointer, &long)
        .begin(vec![("wide", wide)])
        .await;
    let with = support.draft.address.checkpoint_id.as_str();
    let pages = [
        ("threads", "threads".to_owned()),
        ("thread", "thread?id=support-4711".to_owned()),
        ("wide", format!("thread?id={long}")),
        ("compare", format!("compare?id=support-4711&with={with}")),
        ("problem", "thread?id=none".to_owned()),
    ];
    for (kind, window) in [("phone", PHONE), ("desk", DESK)] {
        let browser = Chromium::start(window).await;
        for (name, link) in &pages {
            browser.open(&served.url(link)).await;
            browser.picture(&format!("{kind}-{name}")).await;
            let width = browser
                .eval("document.documentElement.scrollWidth - innerWidth")
                .await;
            assert_eq!(width, 0, "{name} is wider than a {kind}");
            assert_eq!(browser.eval(NAMELESS).await, json!([]), "{name}");
            assert_eq!(browser.eval(FAINT).await, json!([]), "{name} on a {kind}");
            assert_eq!(browser.eval(NARROW).await, json!([]), "{name} on a {kind}");
            let outline = "[document.documentElement.lang, document.querySelectorAll('main').length, \
                           document.querySelectorAll('h1').length > 0]";
            assert_eq!(
                browser.eval(outline).await,
                json!(["en", 1, true]),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn everything_is_reached_by_keyboard() {
    let served = Served::new(Options::new()).await;
    Story::new(&served.checkpointer, "support-4711")
        .support()
        .await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("threads")).await;
    browser.type_into("body", "/").await;
    browser.until("document.activeElement.name === 'q'").await;
    browser.type_into("input[name=q]", "4711\u{e007}").await;
    browser.until("location.search.includes('q=4711')").await;
    browser.type_into("tbody a", "\u{e007}").await;
    browser.until_text("h1", "draft step 3").await;
    // In the list the arrow keys walk, and the focus goes along.
    browser.type_into(".row:first-child a", "\u{e015}").await;
    browser.until_text("h1", "tools step 2").await;
    browser
        .until("document.activeElement === document.querySelector('.row:nth-child(2) > a')")
        .await;
    browser.type_into("#detail summary", " ").await;
    browser
        .until("document.querySelector('#detail details').open")
        .await;
}

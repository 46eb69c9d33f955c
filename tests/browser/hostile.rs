//! Scripts in a state don't run, and nothing foreign is loaded.

use inspector::page::Options;
use rig::Story;

use crate::chromium::{Chromium, DESK};
use crate::served::Served;

const SCRIPTS: [&str; 7] = [
    "<script>window.ran = 1</script>",
    "\"><img src=//evil.example/x onerror='window.ran = 2'>",
    "' autofocus onfocus='window.ran = 3' x='",
    "</textarea></pre></title><svg onload='window.ran = 4'>",
    "<div hx-get='//evil.example/' hx-trigger='load' hx-on::load='window.ran = 5'></div>",
    "<a id=live data-poll='//evil.example/'>javascript:window.ran = 6</a>",
    "<style>@import '//evil.example/x.css'; * { display: none }</style><base href='//evil.example/'>",
];

#[tokio::test]
async fn scripts_in_a_thread_do_not_run_and_nothing_foreign_is_loaded() {
    let served = Served::new(Options::new().allow_writes()).await;
    let story = Story::new(&served.checkpointer, SCRIPTS[1]);
    story.hostile(&SCRIPTS).await;
    let browser = Chromium::start(DESK).await;
    browser.open(&served.url("threads")).await;
    check(&browser).await;
    browser.click("tbody a").await;
    browser.until_text("#detail", "Metadata").await;
    // Everything is opened that opens.
    browser
        .eval("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        .await;
    browser
        .until("document.querySelectorAll('.htmx-request').length === 0")
        .await;
    check(&browser).await;
    browser.picture("hostile").await;
    let rows = browser
        .eval("document.querySelectorAll('.row').length")
        .await;
    for row in 1..=rows.as_u64().unwrap() {
        browser.click(&format!(".row:nth-child({row}) a")).await;
        browser.until(&format!("document.querySelector('.row:nth-child({row}) > a').hasAttribute('aria-current') && document.querySelectorAll('.htmx-request').length === 0")).await;
        check(&browser).await;
    }
    let compare = "Array.from(document.querySelectorAll('.ways a')).find((a) => a.href.includes('compare?')).href";
    let compare = browser.eval(compare).await;
    browser.open(compare.as_str().unwrap()).await;
    browser.until_text("main", "Swap").await;
    check(&browser).await;
}

/// Checks that nothing ran, that every resource is the page's own, and that the markup is its own.
async fn check(browser: &Chromium) {
    browser.until("window.ran === undefined").await;
    browser.until("performance.getEntriesByType('resource').every((one) => one.name.startsWith(location.origin + '/inspector/'))").await;
    browser.until("document.querySelectorAll('script:not([src^=\"assets/\"]), style, base, img, iframe, svg[onload], [onerror], [onfocus], [style*=display]').length === 0").await;
    browser
        .until("getComputedStyle(document.body).display === 'flex'")
        .await;
    browser
        .until("document.title.endsWith('· checkpointer')")
        .await;
}

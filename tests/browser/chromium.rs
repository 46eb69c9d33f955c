//! Chromium without a window, steered by its driver.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rig::eventually;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What the driver says once it listens, before the port.
const LISTENS: &str = "was started successfully on port ";

/// How long the browser may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// A browser, which ends when this is dropped.
pub(crate) struct Chromium {
    client: Client,
    _driver: Driver,
}

/// The program that steers the browser. They end together when this is dropped.
struct Driver {
    port: u16,
    _process: Child,
}

/// How large the window is, and whether the reader likes it dark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) dark: bool,
}

pub(crate) const DESK: Window = Window {
    width: 1280,
    height: 860,
    dark: false,
};

pub(crate) const PHONE: Window = Window {
    width: 500,
    height: 900,
    dark: true,
};

impl Chromium {
    /// Starts the browser.
    pub(crate) async fn start(window: Window) -> Self {
        let driver = start_driver().await;
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Root has no sandbox, and CI is root.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={},{}", window.width, window.height),
        ];
        if window.dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut capabilities = Capabilities::new();
        capabilities.insert(
            "goog:chromeOptions".to_owned(),
            json!({ "args": arguments }),
        );
        let mut client = ClientBuilder::new(HttpConnector::new());
        client.capabilities(capabilities);
        let driver_url = format!("http://127.0.0.1:{}", driver.port);
        let client = client.connect(&driver_url).await;
        let client = client.expect("Chromium starts: apt-get install chromium");
        Self {
            client,
            _driver: driver,
        }
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Evaluates an expression.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.client.execute(&script, Vec::new()).await.unwrap()
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        eventually(expression, async || self.eval(expression).await == true).await;
    }

    /// Waits until the text of an element contains something.
    pub(crate) async fn until_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        let expression =
            format!("(document.querySelector({selector})?.textContent ?? '').includes({text})");
        self.until(&expression).await;
    }

    /// Clicks as a person does: what is clicked must be there to be seen.
    pub(crate) async fn click(&self, selector: &str) {
        self.element(selector).await.click().await.unwrap();
    }

    /// Types into an element, or presses keys where it is.
    pub(crate) async fn type_into(&self, selector: &str, keys: &str) {
        self.element(selector).await.send_keys(keys).await.unwrap();
    }

    /// An element, as soon as it is there: parts of a page come later.
    async fn element(&self, selector: &str) -> Element {
        let wait = self.client.wait();
        wait.for_element(Locator::Css(selector)).await.unwrap()
    }

    pub(crate) async fn url(&self) -> String {
        self.client.current_url().await.unwrap().to_string()
    }

    /// Takes a picture, for those who look at what failed and for the documents.
    pub(crate) async fn picture(&self, name: &str) {
        let picture = self.client.screenshot().await.unwrap();
        let folder = pictures();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name).with_extension("png"), picture).unwrap();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let ended = self.end();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the browser hasn't ended: {ended:?}"
        );
    }
}

impl Driver {
    /// Asks the driver to end the browser and itself, and waits for it. A driver that is killed would
    /// leave the browser behind.
    fn end(&self) -> io::Result<()> {
        let mut driver = TcpStream::connect(("127.0.0.1", self.port))?;
        driver.set_read_timeout(Some(ENDS_WITHIN))?;
        driver
            .write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        driver.read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

/// Where pictures go.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures")
}

/// How often the driver is started: the port that it chooses may be taken before it has it.
const STARTS: usize = 5;

/// Starts the driver on a port of its choice.
async fn start_driver() -> Driver {
    for _ in 0..STARTS {
        if let Some(started) = try_start_driver().await {
            return started;
        }
    }
    panic!("`chromedriver` ended {STARTS} times");
}

/// Starts the driver; none if it has ended by itself.
async fn try_start_driver() -> Option<Driver> {
    let process = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut process = match process {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("`chromedriver` isn't installed: apt-get install chromium chromium-driver")
        }
        process => process.unwrap(),
    };
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, port)) = line.split_once(LISTENS) {
            return Some(Driver {
                port: port.trim_end_matches('.').parse().unwrap(),
                _process: process,
            });
        }
    }
    None
}

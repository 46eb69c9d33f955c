//! Slow readers, crawlers and a slow database can't use up what the agents need.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use checkpointer::db;
use checkpointer::futures_util::stream::BoxStream;
use checkpointer::serde_json::json;
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, Error, GetTuple, List,
    ListThreads, MemoryCheckpointer, Put, PutWrites, Result, ThreadInfo, async_trait,
};
use inspector::page::{Options, router};
use rig::Story;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::browser::Browser;

/// Reads only when it is let, and counts how many read at the same time.
#[derive(Debug, Clone)]
struct Gated {
    memory: MemoryCheckpointer,
    gate: Arc<Semaphore>,
    reading: Arc<AtomicUsize>,
}

impl Gated {
    async fn new(open: usize) -> Self {
        let memory = MemoryCheckpointer::new();
        Story::new(&memory, "support-4711").support().await;
        Self {
            memory,
            gate: Arc::new(Semaphore::new(open)),
            reading: Arc::default(),
        }
    }
}

#[async_trait]
impl Checkpointer for Gated {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        self.memory.put(put).await
    }

    async fn put_writes(&self, _: PutWrites<'_>) -> Result<()> {
        // Its thread is locked by someone else.
        std::future::pending().await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.reading.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.acquire().await.unwrap();
        let tuple = self.memory.get_tuple(query).await;
        drop(gate);
        self.reading.fetch_sub(1, Ordering::SeqCst);
        tuple
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.memory.list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.memory.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.memory.threads(query)
    }

    async fn close(&self) -> Result<()> {
        self.memory.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.memory)
    }
}

#[tokio::test(start_paused = true)]
async fn a_crawler_uses_the_checkpointer_no_more_often_at_once_than_it_may() {
    let gated = Gated::new(0).await;
    let options = Options::new().parallel(2).timeout(Duration::from_secs(60));
    let browser = Arc::new(Browser::new(gated.clone(), options));
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let browser = Arc::clone(&browser);
            tokio::spawn(async move { browser.get("checkpoint?id=support-4711").await })
        })
        .collect();
    let mut refused = 0;
    for request in requests.into_iter().rev() {
        if request.is_finished() || refused < 48 {
            let answer = request.await.unwrap();
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.header("retry-after"), "2");
            refused += 1;
        }
    }
    assert_eq!(refused, 48);
    assert_eq!(gated.reading.load(Ordering::SeqCst), 2);
    gated.gate.add_permits(100);
    let answer = browser.get("checkpoint?id=support-4711").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_ends_and_gives_its_turn_back() {
    let gated = Gated::new(0).await;
    let options = Options::new().parallel(1).timeout(Duration::from_secs(10));
    let browser = Browser::new(gated.clone(), options);
    let answer = browser.get("checkpoint?id=support-4711").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.body.contains("known whether"), "{}", answer.body);
    gated.gate.add_permits(1);
    let answer = browser.get("checkpoint?id=support-4711").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn of_a_change_that_takes_too_long_it_is_not_known_whether_it_was_made() {
    let gated = Gated::new(100).await;
    let browser = Browser::new(gated, Options::new().allow_writes());
    let body = browser.get("checkpoint?id=support-4711").await.body;
    let hidden = |name: &str| {
        let (_, rest) = body
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap();
        rest.split_once('"').unwrap().0
    };
    let (key, seen) = (hidden("form_key"), hidden("seen"));
    let form = format!("form_key={key}&id=support-4711&task=ask&seen={seen}&answer=true");
    let answer = browser.post("answer", &form).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("took too long"), "{}", answer.body);
    assert!(
        answer.body.contains("It isn&#39;t known whether"),
        "{}",
        answer.body
    );
}

/// Serves the page and returns its address.
async fn serve(checkpointer: impl Checkpointer, options: Options) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = router(Arc::new(checkpointer), options);
    tokio::spawn(async move { axum::serve(listener, page).await });
    address
}

/// Opens a page as another client does.
async fn get(address: std::net::SocketAddr, link: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{link} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_or_send_slowly_hold_no_turn() {
    let memory = MemoryCheckpointer::new();
    let text = "x".repeat(40_000);
    let writes = vec![("text", json!(text))];
    Story::new(&memory, "large").begin(writes).await;
    let address = serve(memory, Options::new().parallel(1).allow_writes()).await;
    let link = "value?id=large&path=/state/text";
    let slow: Vec<_> = (0..20)
        .map(|n| {
            let mut client = TcpStream::connect(address).unwrap();
            let head = match n % 2 {
                // Asks for a lot, many times, and reads nothing.
                0 => format!("GET /{link} HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(200),
                // Sends the first byte of a form.
                _ => format!("POST /fork HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\r\ni"),
            };
            client.write_all(head.as_bytes()).unwrap();
            client
        })
        .collect();
    for _ in 0..10 {
        let answer = get(address, link).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..100]);
    }
    drop(slow);
}

#[tokio::test]
async fn an_error_says_what_failed_and_not_how_the_database_is_reached() {
    let browser = Browser::new(Failing, Options::new());
    let answer = browser.get("checkpoint?id=support-4711").await;
    assert!(answer.body.contains("failed to read a checkpoint"));
    assert!(!answer.body.contains("closed"), "{}", answer.body);
}

/// Every read of a checkpoint fails.
#[derive(Debug)]
struct Failing;

#[async_trait]
impl Checkpointer for Failing {
    async fn put(&self, _: Put<'_>) -> Result<CheckpointAddress> {
        Err(Error::Closed)
    }

    async fn put_writes(&self, _: PutWrites<'_>) -> Result<()> {
        Err(Error::Closed)
    }

    async fn get_tuple(&self, _: GetTuple) -> Result<Option<CheckpointTuple>> {
        Err(Error::database("read a checkpoint", db::Error::Closed))
    }

    fn list(&self, _: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        MemoryCheckpointer::new().list(List::all())
    }

    async fn delete_thread(&self, _: DeleteThread) -> Result<()> {
        Err(Error::Closed)
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        MemoryCheckpointer::new().threads(query)
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        None
    }
}

//! A cancel request is encrypted if its connection is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use db::{Database, Error, GenericClient, Statement};
use rig::eventually;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::authority::Authority;
use super::server::TlsServer;

/// How a client begins that wants TLS before anything else.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

static SLEEP: Statement = Statement::new("SELECT pg_sleep(600)", &[]);

/// Passes everything on, and notes how each connection begins.
struct Ear {
    address: SocketAddr,
    beginnings: Arc<Mutex<Vec<[u8; 8]>>>,
}

impl Ear {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let beginnings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&beginnings);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(client, port, Arc::clone(&heard)));
            }
        });
        Self {
            address,
            beginnings,
        }
    }

    fn heard(&self) -> Vec<[u8; 8]> {
        self.beginnings.lock().unwrap().clone()
    }
}

async fn pass_on(mut client: TcpStream, port: u16, heard: Arc<Mutex<Vec<[u8; 8]>>>) {
    let mut beginning = [0; 8];
    while client.peek(&mut beginning).await.unwrap() < beginning.len() {
        client.readable().await.unwrap();
    }
    heard.lock().unwrap().push(beginning);
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A pool on a server that refuses connections without TLS, and an [`Ear`] that records how its
/// connections and its cancel requests begin.
async fn connected(variables: &[(&str, &str)]) -> (TlsServer, Ear, Database) {
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    let root = server.file("root.crt", &authority.certificate());
    let ear = Ear::before(server.private().port()).await;
    let url = format!(
        "postgres://encrypted@localhost:{}/postgres?sslmode=verify-full",
        ear.address.port()
    );
    let mut all = vec![("DB_SSLROOTCERT", root.to_str().unwrap())];
    all.extend(variables);
    let database = Database::connect(&server.settings(&url, &all).unwrap()).await;
    (server, ear, database.unwrap())
}

async fn sleeping(server: &TlsServer) -> i64 {
    const COUNT: &str = "SELECT count(*) FROM pg_stat_activity \
         WHERE usename = 'encrypted' AND query LIKE '%pg_sleep%' AND state = 'active'";
    let row = server.observer().await.query_one(COUNT, &[]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn the_statement_time_out_behind_a_pooler_is_kept_over_tls() {
    let variables = [
        ("DB_POOL_MODE", "transaction"),
        ("DB_STATEMENT_TIMEOUT", "200ms"),
    ];
    let (server, ear, database) = connected(&variables).await;
    let connection = database.get().await.unwrap();
    let error = connection.query_one(&SLEEP, &[]).await.unwrap_err();
    assert!(matches!(error, Error::StatementTimeout { .. }), "{error:?}");
    eventually("nothing is left running", async || {
        sleeping(&server).await == 0
    })
    .await;
    let heard = ear.heard();
    assert!(heard.len() > 1);
    assert!(heard.iter().all(|beginning| *beginning == SSL_REQUEST));
}

#[tokio::test]
async fn a_query_whose_future_was_dropped_is_cancelled_over_tls() {
    for mode in ["session", "transaction"] {
        let (server, ear, database) = connected(&[("DB_POOL_MODE", mode)]).await;
        let connection = database.get().await.unwrap();
        let query = connection.query_one(&SLEEP, &[]);
        let until = async {
            eventually("it runs", async || sleeping(&server).await == 1).await;
        };
        tokio::select! {
            answer = query => panic!("{answer:?}"),
            () = until => {}
        }
        drop(connection);
        eventually("it is cancelled", async || sleeping(&server).await == 0).await;
        let heard = ear.heard();
        assert!(heard.len() > 1, "a connection and a request");
        assert!(heard.iter().all(|beginning| *beginning == SSL_REQUEST));
        database.close(Duration::from_secs(10)).await.unwrap();
    }
}

//! A server that speaks TLS, and its roles.

use std::path::PathBuf;

use db::{Database, Error, GenericClient, Statement};
use rig::{PrivateServer, Stop, client, try_settings_for};
use settings::Settings;
use tokio_postgres::Client;

use super::authority::Issued;

/// Who gets in how: the names are those of the roles.
const HBA: &str = "
host      all postgres   127.0.0.1/32 trust
host      all either     127.0.0.1/32 trust
hostssl   all encrypted  127.0.0.1/32 trust
hostnossl all plain      127.0.0.1/32 trust
hostssl   all scram      127.0.0.1/32 scram-sha-256
hostssl   all password   127.0.0.1/32 password
hostnossl all scram_plain 127.0.0.1/32 scram-sha-256
hostssl   all certified  127.0.0.1/32 cert
hostssl   all checked    127.0.0.1/32 trust clientcert=verify-ca
local     all all                     trust
";

const ROLES: &str = "
CREATE ROLE either LOGIN;
CREATE ROLE encrypted LOGIN;
CREATE ROLE plain LOGIN;
CREATE ROLE scram LOGIN PASSWORD 'kettle';
CREATE ROLE password LOGIN PASSWORD 'kettle';
CREATE ROLE scram_plain LOGIN PASSWORD 'kettle';
CREATE ROLE certified LOGIN;
CREATE ROLE checked LOGIN;
";

/// Whether a connection came about, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Encrypted,
    Plain,
    Failed,
}

impl Outcome {
    /// What stands for it in a table.
    pub(super) fn cell(self) -> &'static str {
        match self {
            Self::Encrypted => "  tls",
            Self::Plain => "  plain",
            Self::Failed => "  -",
        }
    }
}

/// A server with the roles above.
pub(super) struct TlsServer(PrivateServer);

impl TlsServer {
    pub(super) async fn without_tls() -> Self {
        let server = Self(PrivateServer::start(&[]).await.unwrap());
        server.observer().await.batch_execute(ROLES).await.unwrap();
        server.0.workspace().write("data/pg_hba.conf", HBA).unwrap();
        let folder = server.0.workspace().path().to_str().unwrap();
        server
            .0
            .configure(&[("unix_socket_directories", folder)])
            .unwrap();
        server.restart().await;
        server
    }

    pub(super) async fn with(issued: &Issued) -> Self {
        let server = Self::without_tls().await;
        server.present(issued).await;
        server
    }

    /// Has it use TLS, with this certificate.
    pub(super) async fn present(&self, issued: &Issued) {
        let certificate = self.file("server.crt", &issued.certificate);
        let key = self.file("server.key", &issued.key);
        self.0
            .configure(&[
                ("ssl", "on"),
                ("ssl_cert_file", certificate.to_str().unwrap()),
                ("ssl_key_file", key.to_str().unwrap()),
            ])
            .unwrap();
        self.restart().await;
    }

    /// Has it ask for client certificates, and check them against this one.
    pub(super) async fn ask_for_certificates_of(&self, certificate: &str) {
        let path = self.file("clients.crt", certificate);
        self.0
            .configure(&[("ssl_ca_file", path.to_str().unwrap())])
            .unwrap();
        self.restart().await;
    }

    pub(super) async fn configure(&self, settings: &[(&str, &str)]) {
        self.0.configure(settings).unwrap();
        self.restart().await;
    }

    async fn restart(&self) {
        self.0.stop(Stop::Fast).await.unwrap();
        self.0.start_again().await.unwrap();
    }

    /// Writes a file that only its owner may read.
    pub(super) fn file(&self, name: &str, content: &str) -> PathBuf {
        self.0.workspace().write(name, content).unwrap()
    }

    pub(super) fn private(&self) -> &PrivateServer {
        &self.0
    }

    pub(super) fn url(&self, user: &str, host: &str) -> String {
        format!("postgres://{user}@{host}:{}/postgres", self.0.port())
    }

    /// The settings for one attempt.
    pub(super) fn settings(
        &self,
        url: &str,
        variables: &[(&str, &str)],
    ) -> settings::Result<Settings> {
        let own = [("DB_CONNECT_TIMEOUT", "1min"), ("DB_STARTUP_TIMEOUT", "0")];
        let all: Vec<_> = own.iter().chain(variables).copied().collect();
        try_settings_for(url, &all)
    }

    pub(super) async fn connect(
        &self,
        user: &str,
        variables: &[(&str, &str)],
    ) -> Result<Database, Error> {
        let settings = self.settings(&self.url(user, "localhost"), variables);
        Database::connect(&settings.unwrap()).await
    }

    /// Past all that is tested.
    pub(super) async fn observer(&self) -> Client {
        client(&self.0.url()).await.unwrap()
    }
}

/// How the server sees a connection of the pool.
pub(super) async fn seen(database: &Database) -> Outcome {
    static SSL: Statement = Statement::new(
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        &[],
    );
    let row = database.get().await.unwrap();
    match row.query_one(&SSL, &[]).await.unwrap().get(0) {
        true => Outcome::Encrypted,
        false => Outcome::Plain,
    }
}

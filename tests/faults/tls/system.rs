//! The system's authorities.

use std::process::Stdio;

use tokio::process::Command;

use super::authority::Authority;
use super::server::{TlsServer, seen};

/// The URL of the server that a child process connects to.
const CHILD: &str = "TEST_TLS_SYSTEM_URL";

#[tokio::test]
async fn the_systems_authorities_are_trusted_if_that_is_asked_for() {
    if let Ok(url) = std::env::var(CHILD) {
        return child(&url).await;
    }
    let authority = Authority::new();
    let server = TlsServer::with(&authority.issue("localhost")).await;
    let ours = server.file("system.crt", &authority.certificate());
    let other = server.file("other.crt", &Authority::new().certificate());
    for (trusted, expected) in [(&ours, "Encrypted"), (&other, "UnknownAuthority")] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("tls::system::the_systems_authorities_are_trusted_if_that_is_asked_for")
            .env(CHILD, server.url("encrypted", "localhost"))
            // Whatever this system trusts.
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("outcome: {expected}")), "{said}");
    }
}

/// Says how it ends.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
async fn child(url: &str) {
    let variables = [
        ("DB_SSLROOTCERT", "system"),
        ("DB_STARTUP_TIMEOUT", "0"),
        ("DB_CONNECT_TIMEOUT", "1min"),
    ];
    let settings = rig::settings_for(url, &variables);
    match db::Database::connect(&settings).await {
        Ok(database) => println!("outcome: {:?}", seen(&database).await),
        Err(db::Error::Connect { failure, .. }) => println!("outcome: {failure:?}"),
        Err(error) => panic!("{error:?}"),
    }
}

//! What libpq does, to compare with.

use rig::Programs;

use super::server::{Outcome, TlsServer};

/// What comes of it if libpq is asked for the same. `options` are those of a connection string.
pub(super) async fn outcome(
    server: &TlsServer,
    host: &str,
    user: &str,
    options: &[(&str, &str)],
) -> Outcome {
    let workspace = server.private().workspace();
    let psql = Programs::find().unwrap().program("psql");
    let mut connection = format!(
        "host={host} port={} user={user} dbname=postgres gssencmode=disable",
        server.private().port()
    );
    for (name, value) in options {
        connection += &format!(" {name}='{value}'");
    }
    let mut command = workspace.command(psql);
    command
        .args([
            "--no-psqlrc",
            "--no-password",
            "--no-align",
            "--tuples-only",
        ])
        .args([
            "--command",
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        ])
        .arg(&connection)
        // libpq would look there for certificates that nobody named.
        .env("HOME", workspace.path());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    match (output.status.success(), output.stdout.as_slice()) {
        (true, b"t\n") => Outcome::Encrypted,
        (true, b"f\n") => Outcome::Plain,
        (false, _) => Outcome::Failed,
        (true, other) => panic!("{}", String::from_utf8_lossy(other)),
    }
}

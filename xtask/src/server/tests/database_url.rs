//! The server that `DATABASE_URL` names.

use expect_test::expect;

use super::{Sandbox, stand_in_server, start};
use crate::server::{Place, log_in, url};

#[test]
fn a_database_url_that_answers_is_used() {
    let sandbox = Sandbox::bare();
    let url = format!("postgres://somebody@127.0.0.1:{}/x", stand_in_server());
    sandbox.sh.set_var("DATABASE_URL", &url);

    let server = start(&sandbox.machine()).unwrap();
    assert_eq!((server.place, server.url), (Place::DatabaseUrl, url));
}

#[test]
fn a_database_url_that_does_not_answer_is_an_error() {
    let sandbox = Sandbox::with_real_binaries();
    let url = "postgres://somebody:secret@127.0.0.1:1,/x";
    sandbox.sh.set_var("DATABASE_URL", url);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    expect![[r#"
        the server that DATABASE_URL names can't be used: the URL names no host
        correct DATABASE_URL, or unset it: then a server is found here, or started"#]]
    .assert_eq(&error);

    let url = "postgres://somebody:secret@127.0.0.1:1/x";
    sandbox.sh.set_var("DATABASE_URL", url);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    assert!(error.contains("127.0.0.1:1: Connection refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_database_url_that_the_server_refuses_is_an_error() {
    let sandbox = Sandbox::bare();
    let port = stand_in_server();
    let url = format!("postgres://somebody:p%40ss@127.0.0.1:{port}/x?sslmode=prefer");
    sandbox.sh.set_var("DATABASE_URL", &url);
    sandbox.stand_in("bin/psql", r#"echo "refused: $PGPASSWORD $*" >&2; exit 2"#);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    expect![[r#"
        the server that DATABASE_URL names can't be used: refused: p@ss --no-psqlrc --no-password --quiet --command SELECT --dbname postgres://somebody@127.0.0.1:PORT/x?sslmode=prefer
        correct DATABASE_URL, or unset it: then a server is found here, or started
    "#]]
    .assert_eq(&format!("{}\n", error.replace(&port.to_string(), "PORT")));

    sandbox.stand_in("bin/psql", "exit 0");
    assert_eq!(start(&sandbox.machine()).unwrap().url, url);
}

#[test]
fn a_url_without_a_password_stays_as_it_is() {
    let url = "postgres://me@db.example/x?options=-c%20a:b@c";
    assert_eq!(log_in::without_password(url), (url.to_owned(), None));
}

#[test]
fn a_url_may_name_several_hosts_and_sockets() {
    let hosts = url::hosts("postgresql://me:p@ss@db.example,[::1]:5433,%2Frun%2Fpg:1/x?a=b");
    expect![[r#"
        [
            (
                "db.example",
                5432,
            ),
            (
                "::1",
                5433,
            ),
            (
                "/run/pg",
                1,
            ),
        ]
    "#]]
    .assert_debug_eq(&hosts.unwrap());
}

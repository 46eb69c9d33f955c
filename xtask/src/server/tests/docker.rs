//! The server of the compose file.

use std::fs;

use expect_test::expect;

use super::{Sandbox, stand_in_server, start};
use crate::server::{Place, docker, down, running};

#[test]
fn an_engine_that_answers_runs_the_compose_file() {
    let sandbox = Sandbox::bare();
    let port = stand_in_server();
    sandbox.sh.set_var("CHECKPOINTER_PG_PORT", port.to_string());
    sandbox.stand_in(
        "bin/docker",
        r#"
        echo "$1 $2 ${5-} ${6-} ${7-} ${8-} port=$CHECKPOINTER_PG_PORT" >> ../calls
        [ "$1" = compose ] || echo 28.0.1"#,
    );
    let server = start(&sandbox.machine()).unwrap();
    let url = format!("postgres://postgres:checkpointer@127.0.0.1:{port}/postgres");
    assert_eq!(
        server.to_string(),
        "started the container of docker/compose.yaml"
    );
    assert_eq!((server.place, &server.url), (Place::Docker, &url));

    // The port is remembered, and an exported URL is no reason to leave it down.
    sandbox.sh.set_var("CHECKPOINTER_PG_PORT", "");
    sandbox.sh.set_var("DATABASE_URL", &url);
    assert_eq!(running(&sandbox.machine()).unwrap().as_ref(), Some(&url));
    let again = start(&sandbox.machine()).unwrap();
    assert_eq!(
        again.to_string(),
        "using the container of docker/compose.yaml"
    );
    down(&sandbox.machine(), true).unwrap();
    assert_eq!(docker::url(&sandbox.machine()), None);

    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    expect![[r#"
        info --format     port=PORT
        compose --project-name docker/compose.yaml up --detach --wait port=PORT
        info --format     port=
        compose --project-name docker/compose.yaml up --detach --wait port=PORT
        compose --project-name docker/compose.yaml down --volumes  port=PORT
    "#]]
    .assert_eq(&calls.replace(&port.to_string(), "PORT"));
}

#[test]
fn an_engine_without_the_image_is_passed_over() {
    let sandbox = Sandbox::with_real_binaries();
    let script = r#"[ "$1" = info ] && echo 28.0.1 || { echo "no such image" >&2; exit 1; }"#;
    sandbox.stand_in("bin/docker", script);

    sandbox.start_cluster();
    assert_eq!(docker::url(&sandbox.machine()), None);
}

#[test]
fn the_compose_file_has_the_credentials_of_its_url() {
    let compose = include_str!("../../../../docker/compose.yaml");
    for line in [
        "POSTGRES_USER: postgres",
        "POSTGRES_PASSWORD: checkpointer",
        "POSTGRES_DB: postgres",
    ] {
        assert!(compose.contains(line), "{line}");
    }
}

//! Files that TLS can not be set up from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use db::{Database, Error, TlsFileProblem};
use expect_test::{Expect, expect};
use rig::{Workspace, chain, settings_for};

use super::authority::{Authority, Issued};

/// Files for a server that is never asked: they are read first.
struct Files(Workspace);

impl Files {
    fn new() -> Self {
        let files = Self(Workspace::new().unwrap());
        let Issued { certificate, key } = Authority::new().issue("localhost");
        files.write("root.crt", &Authority::new().certificate());
        files.write("my.crt", &certificate);
        files.write("my.key", &key);
        files
    }

    fn write(&self, name: &str, content: &str) {
        self.0.write(name, content).unwrap();
    }

    /// What is said of them.
    async fn check(&self, kind: TlsFileProblem, expect: Expect) {
        let folder = self.0.path();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let variables = [
            ("DB_SSLROOTCERT", &*path("root.crt")),
            ("DB_SSLCERT", &path("my.crt")),
            ("DB_SSLKEY", &path("my.key")),
        ];
        let settings = settings_for("postgres://app@127.0.0.1:1/agents", &variables);
        let error = Database::connect(&settings).await.unwrap_err();
        assert!(!error.is_transient());
        let Error::TlsFile { problem, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*problem, kind);
        expect.assert_eq(&chain(&error).replace(folder.to_str().unwrap(), "FOLDER"));
    }
}

fn set_permissions(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_with_what_is_wrong_with_it() {
    let files = Files::new();
    let root = files.0.path().join("root.crt");
    fs::remove_file(&root).unwrap();
    files
        .check(
            TlsFileProblem::Unreadable,
            expect![[r#"
            `DB_SSLROOTCERT`: `FOLDER/root.crt` can't be read
            No such file or directory (os error 2)
        "#]],
        )
        .await;

    fs::create_dir(&root).unwrap();
    files
        .check(
            TlsFileProblem::NotAFile,
            expect![[r#"
            `DB_SSLROOTCERT`: `FOLDER/root.crt` is not a file
        "#]],
        )
        .await;

    fs::remove_dir(&root).unwrap();
    files.write("root.crt", "a certificate");
    files
        .check(
            TlsFileProblem::Empty,
            expect![[r#"
        `DB_SSLROOTCERT`: `FOLDER/root.crt` holds no PEM of the kind that is needed
    "#]],
        )
        .await;

    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    files.write("root.crt", broken);
    files
        .check(
            TlsFileProblem::Malformed,
            expect![[r#"
            `DB_SSLROOTCERT`: `FOLDER/root.crt` holds something that can't be used
        "#]],
        )
        .await;
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_not_quoted() {
    let files = Files::new();
    let path = files.0.path().join("my.key");
    let key = fs::read_to_string(&path).unwrap();
    set_permissions(&path, 0o644);
    files.check(TlsFileProblem::Exposed, expect![[r#"
        `DB_SSLKEY`: `FOLDER/my.key` can be read or changed by others; it may have permissions 0600 at the most, or 0640 if it is root's
    "#]]).await;

    set_permissions(&path, 0o600);
    files.write("my.key", &Authority::new().issue("localhost").key);
    files
        .check(
            TlsFileProblem::WrongKey,
            expect![[r#"
            `DB_SSLKEY`: `FOLDER/my.key` is not the key of the certificate in `DB_SSLCERT`
        "#]],
        )
        .await;

    files.write(
        "my.key",
        &key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    );
    files
        .check(
            TlsFileProblem::Encrypted,
            expect![[r#"
            `DB_SSLKEY`: `FOLDER/my.key` is encrypted, and there is no way to give its passphrase
        "#]],
        )
        .await;

    files.write("my.key", &key.replace("-----END", "hunter2\n---END"));
    files
        .check(
            TlsFileProblem::Malformed,
            expect![[r#"
            `DB_SSLKEY`: `FOLDER/my.key` holds something that can't be used
        "#]],
        )
        .await;

    files.write("my.key", "hunter2");
    files
        .check(
            TlsFileProblem::Empty,
            expect![[r#"
        `DB_SSLKEY`: `FOLDER/my.key` holds no PEM of the kind that is needed
    "#]],
        )
        .await;
}

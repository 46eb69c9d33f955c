//! What the settings say about TLS.

use std::path::Path;

use expect_test::expect;

use super::{check_error, read};
use crate::{ChannelBinding, RootCertificates, Settings, TlsMode};

#[test]
fn the_mode_is_one_of_libpqs() {
    for (text, mode) in [
        ("disable", TlsMode::Disable),
        ("allow", TlsMode::Allow),
        ("prefer", TlsMode::Prefer),
        ("require", TlsMode::Require),
        ("verify-ca", TlsMode::VerifyCa),
        ("verify-full", TlsMode::VerifyFull),
    ] {
        let variables = [("DB_SSLMODE", text), ("DB_SSLROOTCERT", "/etc/ssl/ca.pem")];
        assert_eq!(read(&variables).unwrap().tls_mode(), mode);
    }
    check_error(
        read(&[("DB_SSLMODE", "Prefer")]),
        expect![[r#"
        invalid settings:
          `DB_SSLMODE`: expected `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`
    "#]],
    );
}

#[test]
fn certificates_are_named_by_variables_or_parameters() {
    let settings = read(&[
        (
            "DATABASE_URL",
            "postgres://app@db/a?sslrootcert=/beaten&sslcert=my.crt&sslkey=%2Frun%2Fmy.key\
             &channel_binding=require",
        ),
        ("DB_SSLROOTCERT", "/etc/ssl/ca.pem"),
    ])
    .unwrap();
    assert_eq!(settings.tls_mode(), TlsMode::Prefer);
    assert_eq!(
        settings.root_certificates(),
        Some(&RootCertificates::File("/etc/ssl/ca.pem".into()))
    );
    let client = settings.client_certificate().unwrap();
    assert_eq!(client.certificate, Path::new("my.crt"));
    assert_eq!(client.key, Path::new("/run/my.key"));
    assert_eq!(settings.channel_binding(), ChannelBinding::Require);
}

#[test]
fn the_certificates_of_the_system_come_with_the_check_of_the_name() {
    let settings = Settings::from_url("postgres://app@db/a?sslrootcert=system").unwrap();
    assert_eq!(
        settings.root_certificates(),
        Some(&RootCertificates::System)
    );
    assert_eq!(settings.tls_mode(), TlsMode::VerifyFull);

    let verify_full = [("DB_SSLROOTCERT", "system"), ("DB_SSLMODE", "verify-full")];
    assert_eq!(read(&verify_full).unwrap().tls_mode(), TlsMode::VerifyFull);

    check_error(
        read(&[("DB_SSLROOTCERT", "system"), ("DB_SSLMODE", "verify-ca")]),
        expect![[r#"
            invalid settings:
              `DB_SSLMODE`: expected `verify-full` beside the root certificates of the system
        "#]],
    );
    check_error(
        Settings::from_url("postgres://app@db/a?sslrootcert=system&sslmode=disable"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `sslmode`: expected `verify-full` beside the root certificates of the system
        "#]],
    );
}

#[test]
fn a_mode_that_verifies_needs_root_certificates() {
    check_error(
        read(&[("DB_SSLMODE", "verify-full")]),
        expect![[r#"
        invalid settings:
          `DB_SSLROOTCERT`: expected a file's path or `system`: a mode that verifies needs certificates that are trusted
    "#]],
    );
    check_error(
        Settings::from_url("postgres://app@db/a?sslmode=verify-ca"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `sslrootcert`: expected a file's path or `system`: a mode that verifies needs certificates that are trusted
        "#]],
    );
}

#[test]
fn a_client_certificate_and_its_key_go_together() {
    check_error(
        read(&[("DB_SSLCERT", "my.crt")]),
        expect![[r#"
        invalid settings:
          `DB_SSLKEY`: expected a file's path: a client certificate and its key go together
    "#]],
    );
    check_error(
        Settings::from_url("postgres://app@db/a?sslkey=my.key"),
        expect![[r#"
            invalid settings:
              `DATABASE_URL`, parameter `sslcert`: expected a file's path: a client certificate and its key go together
        "#]],
    );
}

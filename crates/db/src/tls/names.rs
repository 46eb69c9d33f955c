//! Whether a certificate is made out to a host, by libpq's rules.

use rustls::CertificateError;
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Looks for the host's name among those of the certificate. `parsed` is the same certificate as
/// `certificate`, if rustls can read it.
pub(super) fn check(
    parsed: Option<&ParsedCertificate<'_>>,
    certificate: &Certificate,
    host: &ServerName<'_>,
) -> Result<(), rustls::Error> {
    let mismatch = || rustls::Error::from(CertificateError::NotValidForName);
    let by_alternative_name = parsed.map_or_else(
        || Err(mismatch()),
        |parsed| verify_server_name(parsed, host),
    );
    let Err(error) = by_alternative_name else {
        return Ok(());
    };
    // As in libpq, the common name counts only where no alternative name of the host's own kind
    // does. Many a certificate for PostgreSQL has nothing else.
    let is_host = common_name(certificate)
        .filter(|_| !has_alternative_name_like(certificate, host))
        .is_some_and(|name| matches(&name, &host.to_str()));
    if is_host { Ok(()) } else { Err(error) }
}

fn has_alternative_name_like(certificate: &Certificate, host: &ServerName<'_>) -> bool {
    match certificate.tbs_certificate.get::<SubjectAltName>() {
        Ok(None) => false,
        Ok(Some((_, names))) => names.0.iter().any(|name| match host {
            ServerName::IpAddress(_) => matches!(name, GeneralName::IpAddress(_)),
            _ => matches!(name, GeneralName::DnsName(_)),
        }),
        // Names that can't be read may be of any kind.
        Err(_) => true,
    }
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = &certificate.tbs_certificate.subject;
    let value = subject
        .0
        .iter()
        .flat_map(|names| names.0.iter())
        .find(|name| name.oid == COMMON_NAME)
        .map(|name| &name.value)?;
    let text = value
        .decode_as::<Utf8StringRef<'_>>()
        .map(|text| text.as_str().to_owned())
        .or_else(|_| {
            let text = value.decode_as::<PrintableStringRef<'_>>();
            text.map(|text| text.as_str().to_owned())
        })
        .or_else(|_| {
            let text = value.decode_as::<TeletexStringRef<'_>>();
            text.map(|text| text.as_str().to_owned())
        });
    text.ok().filter(|text| !text.contains('\0'))
}

/// A `*` stands for one label, and only for the first one as a whole.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    if let Some(domain) = pattern.strip_prefix("*.") {
        return host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(domain));
    }
    pattern.eq_ignore_ascii_case(host)
}

//! What is checked of the server's certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::{Certificate, Version};

use super::names;

/// Checks what a `sslmode` asks for, and no less. That the server has the certificate's key is
/// checked always.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Without any, every certificate will do.
    pub(super) trusted: Option<Trusted>,
    pub(super) checks_name: bool,
}

/// The root certificates.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) anchors: Arc<RootCertStore>,
    /// The same, as they are.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = read(end_entity)?;
        let parsed = ParsedCertificate::try_from(end_entity);
        if is_own_authority(&certificate) && trusted.certificates.contains(end_entity) {
            check_validity(&certificate, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                parsed.as_ref().map_err(Clone::clone)?,
                &trusted.anchors,
                intermediates,
                now,
                self.algorithms.all,
            )
            .map_err(|error| match error {
                // Another authority of the same name.
                Error::InvalidCertificate(CertificateError::BadSignature) => {
                    CertificateError::UnknownIssuer.into()
                }
                error => error,
            })?;
        }
        if self.checks_name {
            names::check(parsed.as_ref().ok(), &certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By the key, for rustls doesn't read certificates of X.509's first version, which `openssl
        // x509` makes unless told otherwise.
        let key = read(certificate)?
            .tbs_certificate
            .subject_public_key_info
            .to_der()
            .map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(key);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Certificate, Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// Whether it may vouch for others, as OpenSSL has it: what rustls takes for an authority it trusts
/// whatever it was made for, and however old it is.
pub(super) fn may_sign(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(certificate) = read(certificate) else {
        return false;
    };
    let content = &certificate.tbs_certificate;
    let (Ok(usage), Ok(constraints)) =
        (content.get::<KeyUsage>(), content.get::<BasicConstraints>())
    else {
        return false;
    };
    let signs = usage.map(|(_, usage)| usage.key_cert_sign());
    let is_authority = match constraints {
        Some((_, constraints)) => constraints.ca,
        // Roots of the first version know no extensions.
        None => {
            signs == Some(true)
                || (content.version == Version::V1 && is_own_authority(&certificate))
        }
    };
    is_authority && signs != Some(false) && check_validity(&certificate, now).is_ok()
}

/// Whether the certificate is its own issuer. One that is trusted as it is needs no chain; rustls
/// would refuse it because it may sign others.
fn is_own_authority(certificate: &Certificate) -> bool {
    let certificate = &certificate.tbs_certificate;
    certificate.issuer == certificate.subject
}

fn check_validity(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = certificate.tbs_certificate.validity;
    let time = |time: x509_cert::time::Time| UnixTime::since_unix_epoch(time.to_unix_duration());
    let (not_before, not_after) = (time(validity.not_before), time(validity.not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }
        .into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after,
        }
        .into());
    }
    Ok(())
}

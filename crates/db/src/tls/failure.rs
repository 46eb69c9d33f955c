//! What a failed handshake means.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError};
use tokio_postgres::error::DbError;

use super::Tls;
use crate::connect_failure::ConnectFailure;

/// What TLS has to do with an error of the driver, if anything.
pub(crate) fn cause(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    error
        .source()?
        .downcast_ref::<io::Error>()?
        .get_ref()?
        .downcast_ref()
}

/// What an error of rustls means.
pub(crate) fn failure(error: &rustls::Error, tls: &Tls) -> ConnectFailure {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => ConnectFailure::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ConnectFailure::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ConnectFailure::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ConnectFailure::HostNameMismatch
            }
            _ => ConnectFailure::Certificate,
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => ConnectFailure::ClientCertificateRequired,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
                if tls.shows_certificate() =>
            {
                ConnectFailure::ClientCertificateRejected
            }
            _ => ConnectFailure::Handshake,
        },
        _ => ConnectFailure::Handshake,
    }
}

/// Whether the server refuses the user because a client certificate is missing. Its code is that of
/// every refusal, so only its words tell. Translated words aren't recognised, and are in the
/// error's source.
pub(crate) fn refused_certificate(error: &DbError, tls: &Tls) -> Option<ConnectFailure> {
    let says = |words: &str| error.message().contains(words);
    if says("requires a valid client certificate") && !tls.shows_certificate() {
        return Some(ConnectFailure::ClientCertificateRequired);
    }
    let refused =
        says("requires a valid client certificate") || says("certificate authentication failed");
    refused.then_some(ConnectFailure::ClientCertificateRejected)
}

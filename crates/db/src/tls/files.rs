//! The files that the settings name.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use settings::{ClientCertificate, RootCertificates, Settings, TlsMode};

use super::Setup;
use super::verifier::{Trusted, Verifier, may_sign};
use crate::Error;

const SSLROOTCERT: &str = "DB_SSLROOTCERT";
const SSLCERT: &str = "DB_SSLCERT";
const SSLKEY: &str = "DB_SSLKEY";

/// What is wrong with a file that TLS is set up from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFileProblem {
    /// It is missing or can't be read.
    Unreadable,
    /// It is a folder, a device or a pipe.
    NotAFile,
    /// It isn't PEM, or holds nothing of the kind that is needed.
    Empty,
    /// What it holds can't be made sense of.
    Malformed,
    /// Others may read the key, or change it.
    Exposed,
    /// The key needs a passphrase, which can't be given.
    Encrypted,
    /// The key isn't that of the certificate.
    WrongKey,
}

impl fmt::Display for TlsFileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "can't be read",
            Self::NotAFile => "is not a file",
            Self::Empty => "holds no PEM of the kind that is needed",
            Self::Malformed => "holds something that can't be used",
            Self::Exposed => {
                "can be read or changed by others; it may have permissions 0600 at the most, \
                 or 0640 if it is root's"
            }
            Self::Encrypted => "is encrypted, and there is no way to give its passphrase",
            Self::WrongKey => "is not the key of the certificate in `DB_SSLCERT`",
        })
    }
}

/// Where certificates and the key are, and what they are for.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    checks_name: bool,
    root_certificates: Option<RootCertificates>,
    client_certificate: Option<ClientCertificate>,
}

impl Files {
    /// Nothing, if the settings go without TLS.
    pub(crate) fn new(settings: &Settings) -> Option<Self> {
        (settings.tls_mode() != TlsMode::Disable).then(|| Self {
            checks_name: settings.tls_mode() == TlsMode::VerifyFull,
            root_certificates: settings.root_certificates().cloned(),
            client_certificate: settings.client_certificate().cloned(),
        })
    }

    /// Reads them. They are read for each connection, as libpq does, so that one that was renewed
    /// counts at once.
    pub(crate) fn read(&self) -> Result<Setup, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Verifier {
            algorithms: provider.signature_verification_algorithms,
            trusted: self.root_certificates.as_ref().map(trusted).transpose()?,
            checks_name: self.checks_name,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring should have what the default versions need")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &self.client_certificate {
            None => config.with_no_client_auth(),
            Some(ClientCertificate {
                certificate, key, ..
            }) => config
                .with_client_auth_cert(certificates(SSLCERT, certificate)?, private_key(key)?)
                .map_err(|error| match error {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        problem(SSLKEY, key, TlsFileProblem::WrongKey)
                    }
                    rustls::Error::InvalidCertificate(_) => {
                        problem(SSLCERT, certificate, TlsFileProblem::Malformed)
                    }
                    _ => problem(SSLKEY, key, TlsFileProblem::Malformed),
                })?,
        };
        Ok(Setup {
            config: Arc::new(config),
            checks_name: self.checks_name,
            shows_certificate: self.client_certificate.is_some(),
        })
    }
}

fn trusted(root_certificates: &RootCertificates) -> Result<Trusted, Error> {
    let now = UnixTime::now();
    let mut anchors = RootCertStore::empty();
    let certificates = match root_certificates {
        RootCertificates::File(path) => {
            let certificates = certificates(SSLROOTCERT, path)?;
            for certificate in &certificates {
                // One that can't be read is a problem, whether or not it may sign.
                let mut read = RootCertStore::empty();
                read.add(certificate.clone())
                    .map_err(|_| problem(SSLROOTCERT, path, TlsFileProblem::Malformed))?;
                if may_sign(certificate, now) {
                    anchors.roots.extend(read.roots);
                }
            }
            certificates
        }
        _ => {
            let certificates = rustls_native_certs::load_native_certs().certs;
            // Systems trust a few that rustls can't read.
            let signers = certificates.iter().filter(|&root| may_sign(root, now));
            anchors.add_parsable_certificates(signers.cloned());
            if anchors.is_empty() {
                return Err(problem(
                    SSLROOTCERT,
                    Path::new("system"),
                    TlsFileProblem::Empty,
                ));
            }
            certificates
        }
    };
    Ok(Trusted {
        anchors: Arc::new(anchors),
        certificates,
    })
}

fn certificates(
    variable: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(variable, path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| problem(variable, path, TlsFileProblem::Malformed))?;
    if certificates.is_empty() {
        return Err(problem(variable, path, TlsFileProblem::Empty));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    check_access(path)?;
    let text = read(SSLKEY, path)?;
    // The reason is dropped because it quotes the file.
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        let what = match error {
            _ if is_encrypted => TlsFileProblem::Encrypted,
            pem::Error::NoItemsFound => TlsFileProblem::Empty,
            _ => TlsFileProblem::Malformed,
        };
        problem(SSLKEY, path, what)
    })
}

/// Refuses a key that is open to others, by libpq's rule.
#[cfg(unix)]
fn check_access(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;

    let file = fs::metadata(path).map_err(|error| unreadable(SSLKEY, path, error))?;
    let too_much = if file.uid() == 0 { 0o037 } else { 0o077 };
    if file.is_file() && file.mode() & too_much != 0 {
        return Err(problem(SSLKEY, path, TlsFileProblem::Exposed));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_access(_: &Path) -> Result<(), Error> {
    Ok(())
}

fn read(variable: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let file = fs::metadata(path).map_err(|error| unreadable(variable, path, error))?;
    // A pipe would never end.
    if !file.is_file() {
        return Err(problem(variable, path, TlsFileProblem::NotAFile));
    }
    fs::read(path).map_err(|error| unreadable(variable, path, error))
}

fn problem(variable: &'static str, path: &Path, problem: TlsFileProblem) -> Error {
    Error::TlsFile {
        variable,
        path: PathBuf::from(path),
        problem,
        source: None,
    }
}

fn unreadable(variable: &'static str, path: &Path, error: io::Error) -> Error {
    Error::TlsFile {
        variable,
        path: PathBuf::from(path),
        problem: TlsFileProblem::Unreadable,
        source: Some(error),
    }
}

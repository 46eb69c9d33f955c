//! What the settings say about TLS, and which of it goes together.

use std::path::PathBuf;

use crate::error::Problems;
use crate::given::Given;
use crate::variable::{CHANNEL_BINDING, Origin, SSLCERT, SSLKEY, SSLMODE, SSLROOTCERT};
use crate::{ChannelBinding, TlsMode};

/// What the settings say about TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) root_certificates: Option<RootCertificates>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) channel_binding: ChannelBinding,
}

/// The certificates that a server's own is checked against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RootCertificates {
    /// Those in a PEM file.
    File(PathBuf),
    /// Those that the system trusts.
    System,
}

/// The two PEM files with which this program proves to the server who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate, followed by those between it and the one that the server trusts.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Tls {
    pub(crate) fn read(given: &mut Given, problems: &mut Problems) -> Self {
        let known = problems.len();
        let mode_from = SSLMODE.origin(given);
        let pair_from = (SSLCERT.origin(given), SSLKEY.origin(given));
        let mut tls = Self {
            mode: SSLMODE.read(given, problems),
            root_certificates: SSLROOTCERT.read(given, problems),
            client_certificate: None,
            channel_binding: CHANNEL_BINDING.read(given, problems),
        };
        let pair = (SSLCERT.read(given, problems), SSLKEY.read(given, problems));
        if problems.len() == known {
            tls.check_mode(mode_from, problems);
            tls.client_certificate = pair_up(pair, pair_from, problems);
        }
        tls
    }

    fn check_mode(&mut self, from: Origin, problems: &mut Problems) {
        // The system trusts the certificates of strangers, too: they prove nothing unless the name
        // in them is checked.
        let system = self.root_certificates == Some(RootCertificates::System);
        if system && from == Origin::Default {
            self.mode = TlsMode::VerifyFull;
        } else if system && self.mode != TlsMode::VerifyFull {
            let expected = "`verify-full` beside the root certificates of the system";
            SSLMODE.report(from, expected, problems);
        }
        let verifies = matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        if verifies && self.root_certificates.is_none() {
            let expected = "a file's path or `system`: a mode that verifies needs certificates that are trusted";
            SSLROOTCERT.report(from, expected, problems);
        }
    }
}

/// A certificate needs its key, and a key its certificate: what is missing belongs where the other
/// one is.
fn pair_up(
    pair: (Option<PathBuf>, Option<PathBuf>),
    from: (Origin, Origin),
    problems: &mut Problems,
) -> Option<ClientCertificate> {
    let expected = "a file's path: a client certificate and its key go together";
    match pair {
        (Some(certificate), Some(key)) => return Some(ClientCertificate { certificate, key }),
        (Some(_), None) => SSLKEY.report(from.0, expected, problems),
        (None, Some(_)) => SSLCERT.report(from.1, expected, problems),
        (None, None) => {}
    }
    None
}

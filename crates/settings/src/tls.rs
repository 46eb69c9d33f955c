use std::path::PathBuf;

use crate::{
    ChannelBinding, TlsMode,
    connection_url::ConnectionUrl,
    environment::Environment,
    error::Problems,
    variable::{CHANNEL_BINDING, SSLCERT, SSLKEY, SSLMODE, SSLROOTCERT},
};

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

/// What this program proves to the server who it is with: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate, followed by those between it and the one that the
    /// server trusts.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Tls {
    pub(crate) fn read(env: &Environment, url: &ConnectionUrl, problems: &mut Problems) -> Self {
        let known = problems.len();
        let sslmode = Given::new(&env.db_sslmode, &url.sslmode);
        let sslcert = Given::new(&env.db_sslcert, &url.sslcert);
        let sslkey = Given::new(&env.db_sslkey, &url.sslkey);
        let mode = SSLMODE.read(sslmode.variable, sslmode.parameter, problems);
        let root_certificates = SSLROOTCERT.read(
            env.db_sslrootcert.as_deref(),
            url.sslrootcert.as_deref(),
            problems,
        );
        let certificate = SSLCERT.read(sslcert.variable, sslcert.parameter, problems);
        let key = SSLKEY.read(sslkey.variable, sslkey.parameter, problems);
        let mut tls = Self {
            mode,
            root_certificates,
            client_certificate: None,
            channel_binding: CHANNEL_BINDING.read(
                env.db_channel_binding.as_deref(),
                url.channel_binding.as_deref(),
                problems,
            ),
        };
        if problems.len() > known {
            return tls;
        }

        // Anybody can have a certificate that the system trusts: it says
        // nothing unless the name in it is checked.
        let system = tls.root_certificates == Some(RootCertificates::System);
        if system && sslmode.is_missing() {
            tls.mode = TlsMode::VerifyFull;
        } else if system && tls.mode != TlsMode::VerifyFull {
            let expected = "`verify-full` beside the root certificates of the system";
            SSLMODE.report(sslmode.variable, expected, problems);
        }
        let verifies = matches!(tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        if verifies && tls.root_certificates.is_none() {
            let expected =
                "a file's path or `system`: a mode that verifies has to know whom to trust";
            SSLROOTCERT.report(sslmode.variable, expected, problems);
        }
        let expected = "a file's path: a client certificate and its key go together";
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                tls.client_certificate = Some(ClientCertificate { certificate, key });
            }
            (Some(_), None) => SSLKEY.report(sslcert.variable, expected, problems),
            (None, Some(_)) => SSLCERT.report(sslkey.variable, expected, problems),
            (None, None) => {}
        }
        tls
    }
}

/// A variable's text, and that of the parameter which it beats.
#[derive(Clone, Copy)]
struct Given<'a> {
    variable: Option<&'a str>,
    parameter: Option<&'a str>,
}

impl<'a> Given<'a> {
    fn new(variable: &'a Option<String>, parameter: &'a Option<String>) -> Self {
        Self {
            variable: variable.as_deref(),
            parameter: parameter.as_deref(),
        }
    }

    fn is_missing(self) -> bool {
        self.variable.or(self.parameter).is_none()
    }
}

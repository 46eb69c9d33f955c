//! An authority that makes certificates for the tests.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SigningKey as _,
    date_time_ymd,
};
use x509_cert::der::asn1::BitString;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{DecodePem as _, Encode as _, EncodePem as _};
use x509_cert::{Certificate, Version};

/// An authority that makes certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its private key, as PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(super) enum Valid {
    Now,
    Before,
    Later,
}

impl Authority {
    /// Makes one. All of them have the same name, but each has a key of its own.
    pub(super) fn new() -> Self {
        Self::with(Valid::Now, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// Makes one whose time is over.
    pub(super) fn expired() -> Self {
        Self::with(Valid::Before, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// Makes one whose certificate is for a server, not for an authority.
    pub(super) fn without_the_right() -> Self {
        Self::with(Valid::Now, IsCa::ExplicitNoCa)
    }

    fn with(valid: Valid, is_ca: IsCa) -> Self {
        let mut params = named("Authority of the tests", &[], valid);
        params.is_ca = is_ca;
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// Makes a certificate for a host, or an address.
    pub(super) fn issue(&self, host: &str) -> Issued {
        self.sign(named("server", &[host], Valid::Now))
    }

    pub(super) fn issue_valid(&self, host: &str, valid: Valid) -> Issued {
        self.sign(named("server", &[host], valid))
    }

    /// Makes one with a common name and nothing else.
    pub(super) fn issue_with_common_name(&self, name: &str) -> Issued {
        self.sign(named(name, &[], Valid::Now))
    }

    /// Makes one of X.509's first version, as `openssl x509` does unless told otherwise: with a
    /// common name, and without extensions.
    pub(super) fn issue_first_version(&self, name: &str) -> Issued {
        let mut issued = self.issue_with_common_name(name);
        let mut certificate = Certificate::from_pem(&issued.certificate).unwrap();
        certificate.tbs_certificate.version = Version::V1;
        certificate.tbs_certificate.extensions = None;
        let signed = certificate.tbs_certificate.to_der().unwrap();
        let signature = self.0.key().sign(&signed).unwrap();
        certificate.signature = BitString::from_bytes(&signature).unwrap();
        issued.certificate = certificate.to_pem(LineEnding::LF).unwrap();
        issued
    }

    fn sign(&self, mut params: CertificateParams) -> Issued {
        // OpenSSL takes the first authority of that name otherwise.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Issued {
    /// What `openssl req -x509` makes: its own authority, with the host as its common name.
    pub(super) fn self_signed(host: &str) -> Self {
        let mut params = named(host, &[], Valid::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn named(common_name: &str, hosts: &[&str], valid: Valid) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    // Good enough: it is off by less than a year.
    let year = 1970 + i32::try_from(now.as_secs() / (366 * 24 * 60 * 60)).unwrap();
    let (from, to) = match valid {
        Valid::Now => (year - 1, year + 10),
        Valid::Before => (year - 3, year - 2),
        Valid::Later => (year + 9, year + 10),
    };
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

//! A certificate authority that is made for one test and forgotten: no key is ever kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub(crate) struct Certificate {
    signed: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(Vec::new()).unwrap();
        asked
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = asked.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(asked, key),
            pem,
        }
    }

    /// For a server or a client of these names.
    pub(crate) fn certificate(&self, names: &[&str]) -> Certificate {
        self.certificate_that(names, |_| {})
    }

    /// The same, changed before it is signed.
    pub(crate) fn certificate_that(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut asked = CertificateParams::new(names).unwrap();
        (asked.distinguished_name).push(DnType::CommonName, "test certificate");
        change(&mut asked);
        let signed = asked.signed_by(&key, &self.issuer).unwrap();
        Certificate { signed, key }
    }

    /// Writes the authority's own certificate.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        self.write_as(folder, "ca.pem")
    }

    /// Writes a list of revoked certificates, by their serial numbers.
    pub(crate) fn write_revoked(&self, folder: &Path, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.issuer).unwrap();
        fs::write(folder.join("crl.pem"), signed.pem().unwrap()).unwrap();
    }

    pub(crate) fn write_as(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, &self.pem).unwrap();
        path
    }
}

impl Certificate {
    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.pem")), self.signed.pem()).unwrap();
        let key = folder.join(format!("{name}.key"));
        fs::write(&key, self.key.serialize_pem()).unwrap();
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// For an upstream of the test's own.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.signed.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

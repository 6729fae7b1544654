//! A certificate authority that is made for one test and forgotten: no key is ever kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
};
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};

use super::gateway::secret_file;

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: rcgen::Certificate,
}

/// A certificate with its key.
pub(crate) struct Certificate {
    signed: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let asked = asked_by("test authority");
        let own = asked.self_signed(&key).unwrap();
        let issuer = Issuer::new(asked, key);
        Self { issuer, own }
    }

    /// An authority below this one, changed before it is signed.
    pub(crate) fn authority_that(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut asked = asked_by("test authority below");
        change(&mut asked);
        let own = asked.signed_by(&key, &self.issuer).unwrap();
        let issuer = Issuer::new(asked, key);
        Self { issuer, own }
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
        fs::write(&path, self.own.pem()).unwrap();
        path
    }

    /// Writes the authority's key, for a program that signs what `rcgen` would not.
    pub(crate) fn write_key(&self, folder: &Path) {
        secret_file(&folder.join("ca.key"), &self.issuer.key().serialize_pem());
    }

    /// A client's settings: this authority is trusted and no other.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.trusting().with_no_client_auth())
    }

    fn trusting(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.der().clone()).unwrap();
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    }
}

fn asked_by(name: &str) -> CertificateParams {
    let mut asked = CertificateParams::new(Vec::new()).unwrap();
    asked.distinguished_name.push(DnType::CommonName, name);
    asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    asked
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl Certificate {
    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.pem")), self.signed.pem()).unwrap();
        let key = folder.join(format!("{name}.key"));
        secret_file(&key, &self.key.serialize_pem());
    }

    /// Signed by itself.
    pub(crate) fn by_itself(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self {
            signed: made.cert,
            key: made.signing_key,
        }
    }

    /// For a client that shows it, and trusts this authority.
    pub(crate) fn client_of(&self, authority: &Authority) -> Arc<ClientConfig> {
        let chain = vec![self.signed.der().clone()];
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = authority.trusting().with_client_auth_cert(chain, key);
        Arc::new(config.unwrap())
    }

    /// For an upstream of the test's own.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server_with(&[])
    }

    /// The same, which agrees to speak HTTP/2 only.
    pub(crate) fn http2_server(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.server());
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    /// The same, which shows these authorities along with the certificate.
    pub(crate) fn server_with(&self, between: &[&Authority]) -> Arc<ServerConfig> {
        let mut chain = vec![self.signed.der().clone()];
        chain.extend(between.iter().map(|authority| authority.own.der().clone()));
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

//! TLS 1.2 and 1.3 settings, for dialling and for our own doors. One crypto provider, always named. Not here: sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Which protocols are offered to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2, else HTTP/1.1.
    Http2OrHttp1,
}

/// Whom to trust when dialling: the system's store (the bundled one if that is empty; what `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name in its place if they are set) and what is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// More certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
}

/// The files behind a door's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Ask callers for a certificate of one of these authorities, PEM. One that is shown must be right; showing none is
    /// not an error here.
    pub client_ca_file: Option<PathBuf>,
    /// Revocation lists of these authorities, PEM: every authority needs one then, and what is on it is refused.
    pub client_crl_file: Option<PathBuf>,
}

/// What is wrong with TLS settings, naming the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is not there, not readable, or not PEM.
    #[error(
        "{file}: cannot be read as PEM; it must exist, be readable by this user and hold {wanted}"
    )]
    Pem {
        /// The file.
        file: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What the reader said.
        #[source]
        source: Box<pem::Error>,
    },
    /// The file holds nothing of what is needed.
    #[error("{file}: holds no {wanted} in PEM")]
    Empty {
        /// The file.
        file: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The environment names other roots than the system's, and there are none.
    #[error(
        "SSL_CERT_FILE or SSL_CERT_DIR is set and leads to no certificate; correct it, or unset it to trust the system's store"
    )]
    NoRoots,
    /// A certificate authority cannot be used.
    #[error("{file}: a certificate in it cannot be used as a root")]
    Root {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Chain and key do not belong together, or cannot be used.
    #[error(
        "{cert_file} and {key_file}: this chain and this key cannot be used together; the first certificate must be the key's own"
    )]
    Pair {
        /// The chain.
        cert_file: PathBuf,
        /// The key.
        key_file: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Authorities cannot be used.
    #[error("{file}: cannot be used to verify certificates")]
    Verifier {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
    /// The crypto provider refuses TLS 1.2 and 1.3.
    #[error("the crypto provider does not support TLS 1.2 and 1.3")]
    Provider(#[source] rustls::Error),
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Settings for dialling.
pub fn client_config(roots: &Roots, alpn: Alpn) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Provider)?
        .with_root_certificates(trusted(roots)?)
        .with_no_client_auth();
    config.alpn_protocols = match alpn {
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::Http2OrHttp1 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

#[expect(
    clippy::disallowed_methods,
    reason = "`load_native_certs` reads the two variables anyhow; here it is told"
)]
pub(super) fn trusted(roots: &Roots) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let instead = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(std::env::var_os);
    if instead.iter().any(Option::is_some) {
        // Whoever restricts whom to trust does not mean everybody if the file is missing.
        if store.is_empty() {
            return Err(TlsError::NoRoots);
        }
        tracing::info!("trusting what SSL_CERT_FILE and SSL_CERT_DIR name, not the system's store");
    } else if store.is_empty() {
        tracing::warn!(
            "the system's certificate store is empty; trusting the bundled webpki-roots instead"
        );
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(file) = &roots.ca_file {
        add(&mut store, file)?;
    }
    Ok(store)
}

/// The authorities of one file and no others.
pub fn only(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    add(&mut store, file)?;
    Ok(store)
}

fn add(store: &mut RootCertStore, file: &Path) -> Result<(), TlsError> {
    for certificate in certificates(file)? {
        store.add(certificate).map_err(|source| TlsError::Root {
            file: file.to_owned(),
            source,
        })?;
    }
    Ok(())
}

/// Settings for a door: HTTP/2 or HTTP/1.1 by ALPN; key and chain checked to match.
pub fn door_settings(files: &TlsFiles) -> Result<Arc<DoorSettings>, TlsError> {
    let chain = certificates(&files.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|source| unreadable(&files.key_file, "a private key", source))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Provider)?;
    let verifier = verifier(files)?;
    let builder = match verifier.clone() {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair {
            cert_file: files.cert_file.clone(),
            key_file: files.key_file.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(DoorSettings {
        server: Arc::new(config),
        verifier,
    }))
}

/// What callers' certificates are checked against, where they are asked for.
fn verifier(files: &TlsFiles) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(file) = &files.client_ca_file else {
        return Ok(None);
    };
    WebPkiClientVerifier::builder_with_provider(only(file)?.into(), provider())
        .with_crls(revocations(files.client_crl_file.as_deref())?)
        .allow_unauthenticated()
        .build()
        .map(Some)
        .map_err(|source| TlsError::Verifier {
            file: files.client_crl_file.as_ref().unwrap_or(file).clone(),
            source,
        })
}

fn revocations(
    file: Option<&Path>,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    let lists: Vec<_> = CertificateRevocationListDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|source| unreadable(file, "revocation lists", source))?;
    if lists.is_empty() {
        return Err(empty(file, "revocation list"));
    }
    Ok(lists)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "certificates";
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|source| unreadable(file, wanted, source))?;
    if found.is_empty() {
        return Err(empty(file, "certificate"));
    }
    Ok(found)
}

fn empty(file: &Path, wanted: &'static str) -> TlsError {
    TlsError::Empty {
        file: file.to_owned(),
        wanted,
    }
}

fn unreadable(file: &Path, wanted: &'static str, source: pem::Error) -> TlsError {
    TlsError::Pem {
        file: file.to_owned(),
        wanted,
        source: Box::new(source),
    }
}

/// A door's TLS, which a reload can replace: links made afterwards use the new settings. Session tickets of the old ones do
/// not work with the new, so that nobody comes back on a certificate that would be refused now.
#[derive(Debug)]
pub struct ServerTls(ArcSwap<DoorSettings>);

/// Settings of a door, and what they check callers' certificates against.
#[derive(Debug)]
pub struct DoorSettings {
    pub(super) server: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl ServerTls {
    /// Reads the files and checks them.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::new(door_settings(files)?)))
    }

    /// Puts other settings in the place of these.
    pub fn put(&self, settings: Arc<DoorSettings>) {
        self.0.store(settings);
    }

    /// The settings for the next link.
    pub(super) fn current(&self) -> Arc<DoorSettings> {
        self.0.load_full()
    }
}

impl DoorSettings {
    /// True if whoever showed this chain, leaf first, would be let in now.
    pub(super) fn accept(&self, chain: &[CertificateDer<'static>]) -> bool {
        match (&self.verifier, chain) {
            (Some(verifier), [leaf, between @ ..]) => verifier
                .verify_client_cert(leaf, between, UnixTime::now())
                .is_ok(),
            _ => false,
        }
    }
}

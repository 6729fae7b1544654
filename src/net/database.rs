//! TLS settings for dialling a database: the server is always verified, and so is its name unless told otherwise. Not here:
//! sockets, and whether TLS is used at all.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::tls::{self, Roots, TlsError};

/// Whom to trust as the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseTrust {
    /// Authorities, PEM; only these are trusted. The system's if there is no file.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate has to name the host that was dialled.
    pub check_name: bool,
}

/// Settings for dialling.
pub fn database_config(trust: &DatabaseTrust) -> Result<ClientConfig, TlsError> {
    let roots = Arc::new(match &trust.ca_file {
        Some(file) => tls::only(file)?,
        None => tls::trusted(&Roots::default())?,
    });
    let builder = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Provider)?;
    let mut config = if trust.check_name {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, tls::provider())
            .build()
            .map_err(|source| TlsError::Verifier {
                file: trust.ca_file.clone().unwrap_or_default(),
                source,
            })?;
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// Settings for a database that is never asked for TLS.
pub fn no_database_tls() -> Result<ClientConfig, TlsError> {
    Ok(ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(TlsError::Provider)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

/// Verifies the chain and takes any name (`sslmode=verify-ca`).
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is checked last: everything else has passed by then.
        match self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

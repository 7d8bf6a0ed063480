use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use time::Duration;
use time::OffsetDateTime;

/// One ECDSA P-256 certificate for `localhost` that every server here shows, and who trusts it.
pub(crate) struct Pki {
    /// A directory that holds nothing but `ca.crt`: what skopeo takes as `--dest-cert-dir`.
    pub(crate) trust: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    ca: CertificateDer<'static>,
}

/// How both sides come to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyExchange {
    /// X25519, which everybody can.
    Classical,
    /// X25519 with ML-KEM-768, as newer clients prefer.
    PostQuantum,
}

impl Pki {
    pub(crate) fn new(directory: &Path) -> Result<Self> {
        let now = OffsetDateTime::now_utc();
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "benchmark CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.not_before = now - Duration::HOUR;
        leaf.not_after = now + Duration::DAY;
        leaf.use_authority_key_identifier_extension = true;
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&key, &issuer)?;

        let pki = Self {
            trust: directory.join("trust"),
            certificate: directory.join("tls.pem"),
            key: directory.join("tls.key"),
            ca: ca_certificate.der().clone(),
        };
        fs::create_dir_all(&pki.trust)?;
        fs::write(pki.ca(), ca_certificate.pem())?;
        fs::write(&pki.certificate, leaf.pem())?;
        fs::write(&pki.key, key.serialize_pem())?;
        fs::set_permissions(&pki.key, fs::Permissions::from_mode(0o600))?;
        Ok(pki)
    }

    /// What has to be trusted.
    pub(crate) fn ca(&self) -> PathBuf {
        self.trust.join("ca.crt")
    }

    /// A client that makes a full handshake each time and knows but one cipher, TLS 1.3's AES-128-GCM,
    /// so that every server works with the same.
    pub(crate) fn client(&self, exchange: KeyExchange, alpn: &[u8]) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone())?;
        let provider = CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: match exchange {
                KeyExchange::Classical => vec![kx_group::X25519],
                KeyExchange::PostQuantum => vec![kx_group::X25519MLKEM768],
            },
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(config)
    }

    /// A server with the certificate, for the receiver of webhooks.
    pub(crate) fn server(&self) -> Result<ServerConfig> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_no_client_auth()
                .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

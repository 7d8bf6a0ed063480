//! What a CA asks a server to show on its own port (RFC 8737).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::CertificateParams;
use rcgen::CustomExtension;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;

use super::error::Error;
use super::signer::Signer;

/// The protocol by which a CA says that it comes to validate, and nothing else (RFC 8737 §3).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// Answers to CAs, by the name that is validated. Several validations of one name may come, and from
/// several places, so an answer stays until it is withdrawn.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<ArcSwap<HashMap<String, Arc<CertifiedKey>>>>);

impl Challenges {
    /// Answers for `name` with the digest of the key authorization.
    ///
    /// # Errors
    ///
    /// If the certificate that carries the answer cannot be made.
    pub fn answer(&self, name: &str, digest: &[u8]) -> Result<(), Error> {
        let failed = |detail: String| Error::Tls { detail };
        let digest: &[u8; 32] =
            digest.try_into().map_err(|_| failed("no SHA-256 digest".to_owned()))?;
        let signer = Signer::generate().map_err(failed)?;
        let mut params = CertificateParams::new(vec![name.to_owned()])
            .map_err(|error| failed(error.to_string()))?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&signer).map_err(|error| failed(error.to_string()))?;
        // Not checked as other identities are: its critical extension is one that nobody else knows.
        let answer = Arc::new(CertifiedKey::new(vec![certificate.into()], signer.for_tls()?));
        self.0.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            answers.insert(name.to_ascii_lowercase(), Arc::clone(&answer));
            answers
        });
        Ok(())
    }

    /// Answers no more.
    pub fn withdraw(&self) {
        self.0.store(Arc::default());
    }

    /// Nothing where it is no CA that asks; nothing in that where there is no answer.
    pub(super) fn find(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        let mut offered = hello.alpn()?;
        let is_a_ca = offered.next() == Some(ACME_TLS) && offered.next().is_none();
        is_a_ca.then(|| {
            let name = hello.server_name()?.to_ascii_lowercase();
            self.0.load().get(&name).cloned()
        })
    }
}

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::error::Error;
use super::pem;
use super::words::list_names;
use super::x509;

/// Whom a connector trusts to vouch for the other side.
#[derive(Debug, Clone)]
pub struct Trust(Arc<RootCertStore>);

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

impl Eq for Trust {}

impl Trust {
    /// The CAs that this system trusts. `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are, if they
    /// are set.
    ///
    /// # Errors
    ///
    /// If there is not one.
    pub fn system() -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        Self::of_system(found.certs, found.errors.first().map(ToString::to_string))
    }

    /// Strange certificates among the system's are passed over: they are not the operator's to mend.
    fn of_system(
        found: Vec<CertificateDer<'static>>,
        problem: Option<String>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found);
        if roots.is_empty() {
            let detail = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
            return Err(Error::NoSystemRoots { detail });
        }
        Ok(Self(Arc::new(roots)))
    }

    /// The certificates of a PEM file: CAs, or a server's own that it issued to itself.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, holds no certificate, or holds one that can never be the root of
    /// trust.
    pub fn file(path: &Path) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for (n, certificate) in pem::certificates(path)?.into_iter().enumerate() {
            let (path, number) = (path.to_owned(), n + 1);
            let facts = match x509::read(&certificate) {
                Ok(facts) => facts,
                Err(detail) => return Err(Error::Malformed { path, number, detail }),
            };
            if !facts.is_ca && !facts.is_self_issued {
                let names = list_names(facts.names);
                return Err(Error::NotACa { path, number, names, issuer: facts.issuer });
            }
            if let Err(error) = roots.add(certificate) {
                return Err(Error::Malformed { path, number, detail: error.to_string() });
            }
        }
        Ok(Self(Arc::new(roots)))
    }

    /// How many CAs they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The roots, for a verifier.
    #[must_use]
    pub fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_without_trust_says_how_to_get_some() {
        let error = Trust::of_system(Vec::new(), None).unwrap_err().to_string();
        assert!(error.contains("on this system: install"), "{error}");
        assert!(error.contains("SSL_CERT_FILE"), "{error}");
        let nonsense = CertificateDer::from(vec![0x30, 0x00]);
        let problem = Some("failed to read /nowhere".to_owned());
        let error = Trust::of_system(vec![nonsense], problem).unwrap_err().to_string();
        assert!(error.contains("system (failed to read /nowhere)"), "{error}");
    }
}

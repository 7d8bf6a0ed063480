use std::fs;
use std::path::Path;
use std::path::PathBuf;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use time::Duration;
use time::OffsetDateTime;

use super::workdir::Workdir;

/// A certificate authority of one test's own.
pub(crate) struct Pki {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as two PEM files.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pki {
    /// Its files are in a directory of that name.
    pub(crate) fn new(work: &Workdir, name: &str) -> Self {
        let directory = work.directory(name);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("test CA {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        // Under this name in a directory of its own, the containers' tools find it, too.
        fs::write(directory.join("ca.crt"), certificate.pem()).unwrap();
        Self { directory, issuer: Issuer::new(params, key) }
    }

    /// What has to be trusted.
    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// For a server under these names and addresses.
    pub(crate) fn server(&self, file: &str, names: &[&str]) -> Pair {
        let now = OffsetDateTime::now_utc();
        self.leaf(file, names, (now - Duration::HOUR, now + Duration::DAY), both())
    }

    /// For a server, but over since yesterday.
    pub(crate) fn expired(&self, file: &str, names: &[&str]) -> Pair {
        let now = OffsetDateTime::now_utc();
        self.leaf(file, names, (now - 2 * Duration::DAY, now - Duration::DAY), both())
    }

    /// For a server, with so much of a hundred days left.
    pub(crate) fn ending(&self, file: &str, names: &[&str], left: Duration) -> Pair {
        let to = OffsetDateTime::now_utc() + left;
        self.leaf(file, names, (to - 100 * Duration::DAY, to), both())
    }

    /// What no server may show.
    pub(crate) fn only_for_clients(&self, file: &str, names: &[&str]) -> Pair {
        let now = OffsetDateTime::now_utc();
        let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.leaf(file, names, (now - Duration::HOUR, now + Duration::DAY), usages)
    }

    /// What nobody may show to a server.
    pub(crate) fn only_for_servers(&self, file: &str, names: &[&str]) -> Pair {
        let now = OffsetDateTime::now_utc();
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.leaf(file, names, (now - Duration::HOUR, now + Duration::DAY), usages)
    }

    /// For us, as somebody's client. The common name is the file's.
    pub(crate) fn client(&self, file: &str) -> Pair {
        self.server(file, &[])
    }

    fn leaf(
        &self,
        file: &str,
        names: &[&str],
        (from, to): (OffsetDateTime, OffsetDateTime),
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        params.not_before = from;
        params.not_after = to;
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = usages;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            certificate: self.directory.join(format!("{file}.pem")),
            key: self.directory.join(format!("{file}.key")),
        };
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        write_key(&pair.key, &key.serialize_pem());
        pair
    }
}

fn both() -> Vec<ExtendedKeyUsagePurpose> {
    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
}

fn write_key(path: &Path, pem: &str) {
    use std::os::unix::fs::PermissionsExt as _;

    fs::write(path, pem).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

//! PEM files into keys and chains (RFC 7468).

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::error::Error;
use super::error::Section;

/// The most bytes of a file that are read; a bundle of every public CA has a quarter of it.
const MAX_BYTES: u64 = 1024 * 1024;

/// Every certificate of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path, Content::Public)?;
    let broken = |error| broken(path, &error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(broken)?;
    if found.is_empty() {
        return Err(Error::NoCertificate { path: path.to_owned(), holds: first_section(&bytes) });
    }
    Ok(found)
}

/// The first private key of a file that nobody but its owner can read: PKCS#8, SEC1 or PKCS#1.
pub(super) fn key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, Error> {
    let bytes = read(path, Content::Secret)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(pem::Error::NoItemsFound) => {
            Err(Error::NoKey { path: path.to_owned(), holds: first_section(&bytes) })
        }
        Err(error) => Err(broken(path, &error)),
    }
}

/// One section (RFC 7468 §2).
pub(super) fn to_pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (n, c) in base64.chars().enumerate() {
        if n > 0 && n % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

/// All of a file, for whoever wants to know whether it changed.
pub(super) fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    read(path, Content::Public)
}

#[derive(Clone, Copy, PartialEq)]
enum Content {
    Public,
    Secret,
}

fn read(path: &Path, content: Content) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => Error::Read { path: path.to_owned(), source },
    };
    // Asked before it is opened: to open a pipe is to wait for whoever writes to it.
    if !path.metadata().map_err(failed)?.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a file");
        return Err(Error::Read { path: path.to_owned(), source });
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    if content == Content::Secret && !is_private(mode, metadata.uid()) {
        return Err(Error::KeyMode { path: path.to_owned(), mode });
    }
    // Sized at once, so that no grown-out-of piece of a key stays behind in memory.
    let room = usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), limit: MAX_BYTES });
    }
    Ok(bytes)
}

/// Whether only its owner can read a file. Root may in addition let a group read it: that is how
/// Kubernetes (`fsGroup`) and Debian (`ssl-cert`) give a key to a process that is not root.
fn is_private(mode: u32, owner: u32) -> bool {
    let others = mode & 0o007;
    let group = mode & 0o070;
    others == 0 && (group == 0 || (owner == 0 && group == 0o040))
}

fn broken(path: &Path, error: &pem::Error) -> Error {
    let detail = match error {
        pem::Error::MissingSectionEnd { .. } => {
            "it ends in the middle of a section, without its `-----END` line".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line begins with `-----BEGIN` and does not end with `-----`".to_owned()
        }
        pem::Error::Base64Decode(_) => "a section is not base64".to_owned(),
        other => other.to_string(),
    };
    Error::Pem { path: path.to_owned(), detail }
}

fn first_section(bytes: &[u8]) -> Section {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Section::Nothing;
    }
    let text = String::from_utf8_lossy(bytes);
    let label = text.lines().find_map(|line| line.trim().strip_prefix("-----BEGIN "));
    match label.map(|label| label.trim_end_matches('-')) {
        None => Section::NotPem,
        Some("CERTIFICATE") => Section::Certificate,
        // The older form says it in a header of the section.
        Some("RSA PRIVATE KEY" | "EC PRIVATE KEY") if text.contains("ENCRYPTED") => {
            Section::EncryptedKey
        }
        Some("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "EC PARAMETERS") => {
            Section::Key
        }
        Some("ENCRYPTED PRIVATE KEY") => Section::EncryptedKey,
        Some("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => Section::Request,
        Some("PUBLIC KEY" | "RSA PUBLIC KEY") => Section::PublicKey,
        Some(_) => Section::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_unless_root_lets_a_group_read_it() {
        let table = [
            (0o600, 1000, true),
            (0o400, 1000, true),
            (0o640, 1000, false),
            (0o440, 1000, false),
            (0o644, 1000, false),
            (0o604, 1000, false),
            (0o601, 1000, false),
            (0o600, 0, true),
            (0o640, 0, true),
            (0o440, 0, true),
            (0o660, 0, false),
            (0o644, 0, false),
        ];
        for (mode, owner, private) in table {
            assert_eq!(is_private(mode, owner), private, "{mode:o} of {owner}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_first_section() {
        let table: &[(&[u8], Section)] = &[
            (b"", Section::Nothing),
            (b" \n\n", Section::Nothing),
            (b"\x30\x82\xff\xfe", Section::NotPem),
            (b"text\n-----BEGIN CERTIFICATE-----\n", Section::Certificate),
            (b"-----BEGIN PRIVATE KEY-----\n", Section::Key),
            (b"-----BEGIN EC PARAMETERS-----\n", Section::Key),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", Section::EncryptedKey),
            (b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", Section::EncryptedKey),
            (b"-----BEGIN CERTIFICATE REQUEST-----\n", Section::Request),
            (b"-----BEGIN PUBLIC KEY-----\n", Section::PublicKey),
            (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", Section::Other),
        ];
        for (bytes, section) in table {
            assert_eq!(first_section(bytes), *section);
        }
    }
}

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::identity::Purpose;

/// Why a certificate, a key or a CA cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("there is no file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there, and the system does not let us read it.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any certificate or key.
    #[error("{} has more than {limit} bytes: that is no certificate or key", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes that are read.
        limit: u64,
    },
    /// Somebody besides its owner can read the private key.
    #[error(
        "the private key {} can be read by others (mode {mode:04o}): run `chmod 600 {}`",
        path.display(),
        path.display()
    )]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The PEM text breaks off or holds what is not base64.
    #[error("{} is not whole PEM text: {detail}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// No certificate in a file that should have one.
    #[error("no certificate found in {}: it holds {holds}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What is in it instead.
        holds: Section,
    },
    /// No private key in a file that should have one.
    #[error("no private key found in {}: it holds {holds}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is in it instead.
        holds: Section,
    },
    /// A certificate that is no certificate.
    #[error("certificate {number} in {} cannot be read: {detail}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which one in the file, from 1.
        number: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// A key of a kind that TLS, or our library, does not use.
    #[error(
        "the private key in {} is of no usable kind: it must be RSA of 2048 bits or more, ECDSA P-256, P-384 or P-521, or Ed25519",
        path.display()
    )]
    UnsupportedKey {
        /// The file.
        path: PathBuf,
    },
    /// The two files are each fine, but not a pair.
    #[error(
        "the certificate {} and the key {} do not belong together",
        certificate.display(),
        key.display()
    )]
    NotMatching {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The chain is there, but begins with somebody else's certificate.
    #[error(
        "wrong order in {}: the key {} belongs to certificate {number}, which must come first, its issuers behind it",
        certificate.display(),
        key.display()
    )]
    Order {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Which certificate the key belongs to, from 1.
        number: usize,
    },
    /// The new certificate does not cover a name that the one in use does, and that we are known by.
    #[error("the certificate {} is not for {name}, as the one in use is, but for {names}", path.display())]
    NameLost {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// What it covers.
        names: String,
    },
    /// The new chain ends where the one in use goes on.
    #[error(
        "the chain in {} breaks off: the certificate of {issuer} is missing, which the chain in use has",
        path.display()
    )]
    ChainCut {
        /// The file.
        path: PathBuf,
        /// Whose certificate is missing.
        issuer: String,
    },
    /// The certificate is over.
    #[error("the certificate {} expired on {on}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        on: String,
    },
    /// The certificate has not begun.
    #[error("the certificate {} is not valid before {from}; is the clock right?", path.display())]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// When it will be.
        from: String,
    },
    /// A CA has yet to issue the certificate that we would have to show.
    #[error("the identity {identity} has no certificate yet: its CA has not issued one")]
    NotIssued {
        /// The identity.
        identity: String,
    },
    /// A certificate for something else (RFC 5280 §4.2.1.12).
    #[error(
        "the certificate of the identity {identity} is not for {purpose}: its extended key usage has {usages}, and lacks {}",
        purpose.usage()
    )]
    Unfit {
        /// The identity.
        identity: String,
        /// What it would have to be for.
        purpose: Purpose,
        /// What its extended key usage has.
        usages: String,
    },
    /// A file that should say whom to trust holds a server's certificate.
    #[error(
        "certificate {number} in {} is not a CA's: it is for {names}, issued by {issuer}; trust needs the certificate of that issuer",
        path.display()
    )]
    NotACa {
        /// The file.
        path: PathBuf,
        /// Which one in the file, from 1.
        number: usize,
        /// What it covers.
        names: String,
        /// Who issued it.
        issuer: String,
    },
    /// The system has no trusted CA, as in an empty container image.
    #[error(
        "found no trusted CA on this system{detail}: install the ca-certificates package, or let SSL_CERT_FILE name a PEM file with them, or give the endpoint a `ca`"
    )]
    NoSystemRoots {
        /// The first thing that went wrong while looking, or nothing.
        detail: String,
    },
    /// The name of an identity does not make a file name.
    #[error(
        "not a name for an identity of a local CA: {name:?}; it becomes a file name, so use letters, digits, `-`, `_` and `.`, and not `ca`"
    )]
    IdentityName {
        /// As configured.
        name: String,
    },
    /// A name that no certificate can be made for.
    #[error(
        "cannot make a certificate for {name:?}: it must be a host name in ASCII (`xn--…` for others), `*.` and a host name, or an address"
    )]
    Name {
        /// As configured.
        name: String,
    },
    /// Nothing to make a certificate for.
    #[error("the identity {identity} has no names: a certificate needs at least one")]
    NoNames {
        /// The identity.
        identity: String,
    },
    /// The CA was made for other names.
    #[error(
        "the local CA {} may issue certificates for {permitted} only, not for {name}: run `pushbell certs renew --ca` and let clients trust the new file, or take the name away",
        ca.display()
    )]
    OutsideConstraints {
        /// The CA's certificate.
        ca: PathBuf,
        /// The name it must not vouch for.
        name: String,
        /// What it may vouch for.
        permitted: String,
    },
    /// The CA is over.
    #[error(
        "the local CA {} expired on {on}: run `pushbell certs renew --ca` and let clients trust the new file",
        path.display()
    )]
    CaExpired {
        /// The CA's certificate.
        path: PathBuf,
        /// When.
        on: String,
    },
    /// The certificate of the local CA is not a CA's.
    #[error(
        "{} is not the certificate of a CA (CA:TRUE): put the right one back, or run `pushbell certs renew --ca`",
        path.display()
    )]
    CaNotACa {
        /// The file.
        path: PathBuf,
    },
    /// The key of the local CA is of a kind we do not sign with.
    #[error(
        "the key {} of the local CA is not ECDSA P-256 in PKCS#8: put the right one back, or delete it and run `pushbell certs renew --ca`",
        path.display()
    )]
    CaKey {
        /// The file.
        path: PathBuf,
    },
    /// Making a certificate failed.
    #[error("could not make the certificate {}: {detail}", path.display())]
    Mint {
        /// The file it was for.
        path: PathBuf,
        /// What the library says.
        detail: String,
    },
    /// Others can put their own files into the directory.
    #[error(
        "others can write to {} (mode {mode:04o}): run `chmod 700 {}`",
        path.display(),
        path.display()
    )]
    DirectoryMode {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system does not let us write.
    #[error("could not write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS library refuses the configuration.
    #[error("could not set up TLS: {detail}")]
    Tls {
        /// What it says.
        detail: String,
    },
}

impl Error {
    /// Whether a new certificate in the place of this one is the cure. Only where nothing but our own
    /// half-written or outlived file is in the way; a key that others can read is the operator's to
    /// judge.
    #[must_use]
    pub fn minting_cures(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Pem { .. }
                | Self::NoCertificate { .. }
                | Self::NoKey { .. }
                | Self::Malformed { .. }
                | Self::UnsupportedKey { .. }
                | Self::NotMatching { .. }
                | Self::Order { .. }
                | Self::Expired { .. }
                | Self::NotYetValid { .. }
        )
    }
}

/// What a PEM file holds, by its first section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Nothing but white space.
    Nothing,
    /// Something that is not PEM text, as DER or a keystore is.
    NotPem,
    /// A certificate.
    Certificate,
    /// A private key.
    Key,
    /// A private key behind a password.
    EncryptedKey,
    /// A certificate signing request.
    Request,
    /// A public key.
    PublicKey,
    /// Anything else.
    Other,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::NotPem => {
                "no PEM text (for DER: `openssl x509 -inform der`, `openssl pkey -inform der`)"
            }
            Self::Certificate => "a certificate",
            Self::Key => "a private key",
            Self::EncryptedKey => {
                "a private key behind a password (take it off: `openssl pkey -in … -out …`)"
            }
            Self::Request => "a certificate signing request (the CA answers it with a certificate)",
            Self::PublicKey => "a public key",
            Self::Other => "PEM text of another kind",
        })
    }
}

//! The nouns of the OCI distribution protocol, parsed once at the edge and trusted from there on.
//!
//! Nothing here does I/O or knows what Pushbell is; a value of one of these types is the proof that
//! its text follows the grammar of the OCI distribution specification (v1.1.1, "Pulling manifests")
//! and of the OCI image specification ("Digests").

mod ambiguous;
mod descriptor;
mod digest;
mod layout;
mod manifest;
mod name;
mod readings;
mod reference;
mod route;

pub use self::ambiguous::Ambiguous;
pub use self::descriptor::InvalidMediaType;
pub use self::descriptor::MediaType;
pub use self::digest::Algorithm;
pub use self::digest::Digest;
pub use self::digest::Digester;
pub use self::digest::InvalidDigest;
pub use self::layout::ArtifactoryName;
pub use self::layout::InvalidKey;
pub use self::layout::Layout;
pub use self::layout::RepositoryKey;
pub use self::manifest::Kind;
pub use self::manifest::Manifest;
pub use self::manifest::Platform;
pub use self::manifest::UnreadableManifest;
pub use self::name::InvalidName;
pub use self::name::RepositoryName;
pub use self::reference::InvalidReference;
pub use self::reference::Reference;
pub use self::reference::Tag;
pub use self::route::Route;
pub use self::route::percent_decoded;

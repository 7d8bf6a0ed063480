//! A JSON Web Token in its compact form, `<header>.<claims>.<signature>`, each base64url without padding.
//!
//! Only `RS256` is one for us: whoever presents a token must not choose how it is checked. A header with `crit` is
//! refused, as RFC 7515 §4.1.11 asks of those who understand no extension.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::super::json::Document;
use super::super::json::Escapes;
use super::super::node::Node;

/// The most bytes of a token; Google's have about 1,000.
const MAX_BYTES: usize = 8 * 1024;

/// A token whose signature nobody has looked at.
pub(super) struct Token<'a> {
    /// `kid`: which key signed it.
    pub(super) key: Option<String>,
    /// What is signed: header and claims as they are.
    pub(super) signed: &'a [u8],
    pub(super) claims: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes it apart; none if it is no token, or one by another algorithm.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = decoded(header)?;
        let header = std::str::from_utf8(&header).ok()?;
        let document = Document::read(header, Escapes::Strict).ok()?;
        let root = Node::root(&document);
        let is_ours = root.text("alg").ok()?.is_some_and(|algorithm| algorithm == "RS256");
        if !is_ours || root.value().member("crit").is_some() {
            return None;
        }
        Some(Self {
            key: root.text("kid").ok()?.map(|id| id.into_owned()),
            signed: signed.as_bytes(),
            claims: decoded(claims)?,
            signature: decoded(signature)?,
        })
    }
}

/// What base64url without padding stands for.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use fastrand::Rng;
use http::HeaderMap;
use http::StatusCode;

use crate::event::Action;
use crate::outbox::Intent;
use crate::registry::Digest;
use crate::registry::Reference;
use crate::registry::Tag;

use super::super::settle::rules::Found;

/// One repository, as Docker Distribution keeps it.
#[derive(Debug, Default)]
pub(super) struct Registry {
    manifests: BTreeSet<String>,
    tags: BTreeMap<Tag, Digest>,
    /// Whether it makes the tags of `?tag=`.
    pub(super) makes_tags: bool,
}

/// What it will do with one request, and when, in milliseconds from the moment it has all of it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Whether the manifest is stored or removed.
    pub(super) stores: bool,
    /// Whether the tags are linked; a delete has none to link.
    pub(super) links: bool,
    pub(super) store_at: u64,
    pub(super) link_at: u64,
    pub(super) answer_at: u64,
    /// None: the connection breaks.
    pub(super) status: Option<u16>,
    /// Whether it answers before it has all of the request.
    pub(super) early: bool,
}

impl Plan {
    pub(super) fn new(random: &mut Rng, working: u64) -> Self {
        // Most requests are quick, some take nearly all the time there is.
        let slow = random.u8(..8) == 0;
        let longest = if slow { working - 1 } else { 60 };
        let store_at = random.u64(1..longest);
        let link_at = random.u64(store_at..=longest);
        let answer_at = match random.u8(..12) {
            // Nobody waits that long.
            0 => 3 * working,
            _ => link_at + random.u64(1..20),
        };
        let (stores, links, status) = match random.u8(..16) {
            0 => (false, false, Some(401)),
            1 => (false, false, Some(404)),
            2 => (false, false, Some(307)),
            3 => (false, false, Some(500)),
            4 => (true, false, Some(500)),
            5 => (true, true, Some(503)),
            6 => (false, false, None),
            7 => (true, true, None),
            _ => (true, true, Some(201)),
        };
        let early = !stores && status == Some(401) && random.bool();
        Self { stores, links, store_at, link_at, answer_at, status, early }
    }
}

impl Registry {
    /// Stores or removes; whether that changed anything that can be seen.
    pub(super) fn store(&mut self, intent: &Intent, digest: &Digest) -> bool {
        match (intent.event.action, &intent.event.tag) {
            (Action::Delete, Some(tag)) => self.tags.remove(tag).is_some(),
            (Action::Delete, None) => {
                self.tags.retain(|_, tagged| tagged != digest);
                self.manifests.remove(digest.as_str())
            }
            _ => {
                self.manifests.insert(digest.as_str().to_owned());
                true
            }
        }
    }

    /// Links the tags of a push.
    pub(super) fn link(&mut self, intent: &Intent, digest: &Digest) {
        if intent.event.action != Action::Push || !self.manifests.contains(digest.as_str()) {
            return;
        }
        let asked = intent.tags.iter().filter(|_| self.makes_tags);
        for tag in intent.event.tag.iter().chain(asked) {
            self.tags.insert(tag.clone(), digest.clone());
        }
    }

    /// Whether a delete has something to delete.
    pub(super) fn has(&self, intent: &Intent, digest: &Digest) -> bool {
        match &intent.event.tag {
            Some(tag) => self.tags.contains_key(tag),
            None => self.manifests.contains(digest.as_str()),
        }
    }

    pub(super) fn look(&self, reference: &Reference) -> Found {
        let digest = match reference {
            Reference::Tag(tag) => self.tags.get(tag),
            Reference::Digest(digest) => Some(digest),
        };
        match digest.filter(|digest| self.manifests.contains(digest.as_str())) {
            Some(digest) => Found::Digest(digest.clone()),
            None => Found::Nothing,
        }
    }

    /// The headers of a success.
    pub(super) fn headers(&self, intent: &Intent, digest: &Digest) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("docker-content-digest", digest.as_str().parse().unwrap());
        for tag in intent.tags.iter().filter(|_| self.makes_tags) {
            headers.append("oci-tag", tag.as_str().parse().unwrap());
        }
        headers
    }
}

pub(super) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

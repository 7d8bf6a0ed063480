//! Files that somebody else replaces while we use them.
//!
//! Nothing is asked of how they are replaced: in place, by renaming, by a symbolic link above them that
//! turns (as Kubernetes does with `..data`), both at once or one after the other. What is there is read
//! and compared by content, never by date. A change counts once it has rested for [`SETTLE`]; what cannot
//! be used then is looked at again and again, and told once it has been so for [`PATIENCE`]. Until there
//! is something better, what is in use stays in use (rule C3).

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use aws_lc_rs::digest::SHA256;
use aws_lc_rs::digest::digest;
use time::OffsetDateTime;

use super::error::Error;
use super::identity::Identity;
use super::pem;

/// How long files must rest before they are taken: whoever writes two needs a moment for the second.
const SETTLE: Duration = Duration::from_secs(1);

/// How long files may be useless before somebody is told: they may be on their way, one by one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The files of one identity, and what they are good for now.
#[derive(Debug)]
pub struct Watched {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
    wanted: Vec<String>,
    current: Option<Identity>,
    /// What was in the files when `current` was read from them.
    used: Option<Contents>,
    /// What is in them now, if that is something else.
    changed: Option<Change>,
}

#[derive(Debug)]
struct Change {
    contents: Contents,
    since: Instant,
    told: bool,
}

/// Why files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It was time to.
    BySchedule,
    /// Somebody says that they are ready, and waits to hear what we think of them.
    ByOperator,
}

/// What a look has found.
#[derive(Debug)]
pub enum Found {
    /// Nothing that must be acted on now.
    Nothing,
    /// Somebody new to be.
    Fresh(Identity),
    /// What is there cannot be used; what was in use stays.
    Refused(Error),
}

impl Watched {
    /// Watches the files that `current` was read from; of `wanted`, the names that it covers must be
    /// covered by its successors as well.
    #[must_use]
    pub fn new(current: Identity, wanted: Vec<String>) -> Self {
        Self {
            name: current.name().to_owned(),
            certificate: current.certificate_path().to_owned(),
            key: current.key_path().to_owned(),
            wanted,
            current: Some(current),
            // Read anew at the first look: they may have changed since.
            used: None,
            changed: None,
        }
    }

    /// Watches files that are not there yet, for an identity that covers all of `wanted`.
    #[must_use]
    pub fn awaited(name: &str, certificate: &Path, key: &Path, wanted: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            wanted,
            current: None,
            used: None,
            changed: None,
        }
    }

    /// What the configuration calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who we are by these files.
    #[must_use]
    pub fn current(&self) -> Option<&Identity> {
        self.current.as_ref()
    }

    /// Looks at the files, at the moment `at` and the time `now`. Blocks for as long as the disk takes.
    pub fn look(&mut self, asked: Asked, at: Instant, now: OffsetDateTime) -> Found {
        let contents = Contents::read(&self.certificate, &self.key);
        if self.used.as_ref() == Some(&contents) {
            self.changed = None;
            return Found::Nothing;
        }
        let change = match self.changed.take() {
            Some(change) if change.contents == contents => self.changed.insert(change),
            _ => self.changed.insert(Change { contents, since: at, told: false }),
        };
        let rested = at.saturating_duration_since(change.since);
        let first = self.used.is_none();
        if asked == Asked::BySchedule && rested < SETTLE && !first {
            return Found::Nothing;
        }
        let loaded = Identity::load(&self.name, &self.certificate, &self.key, now);
        match loaded.and_then(|fresh| succeeds(self.current.as_ref(), fresh, &self.wanted)) {
            Ok(fresh) => {
                self.used = self.changed.take().map(|change| change.contents);
                let same =
                    |current: &Identity| current.certified_key().cert == fresh.certified_key().cert;
                if self.current.as_ref().is_some_and(same) {
                    return Found::Nothing;
                }
                self.current = Some(fresh.clone());
                Found::Fresh(fresh)
            }
            Err(error) if asked == Asked::ByOperator || (rested >= PATIENCE && !change.told) => {
                change.told = true;
                Found::Refused(error)
            }
            Err(_) => Found::Nothing,
        }
    }

    /// Whether the files hold something that was told to be useless.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.changed.as_ref().is_some_and(|change| change.told)
    }
}

/// Whether `fresh` can take the place of `current`.
fn succeeds(
    current: Option<&Identity>,
    fresh: Identity,
    wanted: &[String],
) -> Result<Identity, Error> {
    let covered = |name: &&String| current.is_none_or(|current| current.covers(name));
    let lost = |name: &&String| covered(name) && !fresh.covers(name);
    if let Some(name) = wanted.iter().find(lost) {
        return Err(Error::NameLost {
            path: fresh.certificate_path().to_owned(),
            name: name.clone(),
            names: super::list_names(fresh.names()),
        });
    }
    if let Some(issuer) = current.and_then(|current| fresh.lacks_chain_of(current)) {
        return Err(Error::ChainCut { path: fresh.certificate_path().to_owned(), issuer });
    }
    Ok(fresh)
}

/// What is in the two files, by digest; nothing of one that cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Contents([Option<Vec<u8>>; 2]);

impl Contents {
    fn read(certificate: &Path, key: &Path) -> Self {
        Self([certificate, key].map(|path| {
            let bytes = pem::bytes(path).ok()?;
            Some(digest(&SHA256, &bytes).as_ref().to_vec())
        }))
    }
}

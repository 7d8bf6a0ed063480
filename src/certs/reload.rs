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
use super::identity::Purpose;
use super::pem;
use super::roots::Trust;

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
    wanted: Wanted,
    current: Option<Identity>,
    files: Files,
}

/// What an identity has to be good for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The names that it covers.
    pub names: Vec<String>,
    /// Who shows it.
    pub purposes: Vec<Purpose>,
}

/// A file with the CAs that we trust, or the system's, and what it is good for now.
#[derive(Debug)]
pub struct WatchedTrust {
    /// Nothing for the system's.
    path: Option<PathBuf>,
    current: Trust,
    files: Files,
}

/// Files, and what is in them.
#[derive(Debug, Default)]
struct Files {
    /// What was in them when what is in use was read.
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
pub enum Found<T> {
    /// Nothing that must be acted on now.
    Nothing,
    /// Somebody new to be, or to trust.
    Fresh(T),
    /// What is there cannot be used; what was in use stays.
    Refused(Error),
}

impl Watched {
    /// Watches the files that `current` was read from; of `wanted`, what it is good for its successors
    /// must be good for as well.
    #[must_use]
    pub fn new(current: Identity, wanted: Wanted) -> Self {
        Self {
            name: current.name().to_owned(),
            certificate: current.certificate_path().to_owned(),
            key: current.key_path().to_owned(),
            wanted,
            current: Some(current),
            // Read anew at the first look: they may have changed since.
            files: Files::default(),
        }
    }

    /// Watches files that are not there yet, for an identity that is good for all of `wanted`.
    #[must_use]
    pub fn awaited(name: &str, certificate: &Path, key: &Path, wanted: Wanted) -> Self {
        Self {
            name: name.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            wanted,
            current: None,
            files: Files::default(),
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
    pub fn look(&mut self, asked: Asked, at: Instant, now: OffsetDateTime) -> Found<Identity> {
        let contents = Contents::read(&[&self.certificate, &self.key]);
        let Some(rested) = self.files.rested(contents, asked, at) else {
            return Found::Nothing;
        };
        let loaded = Identity::load(&self.name, &self.certificate, &self.key, now);
        let fresh = loaded.and_then(|fresh| succeeds(self.current.as_ref(), fresh, &self.wanted));
        let found = self.files.judge(fresh, asked, rested);
        if let Found::Fresh(fresh) = &found {
            let same =
                |current: &Identity| current.certified_key().cert == fresh.certified_key().cert;
            if self.current.as_ref().is_some_and(same) {
                return Found::Nothing;
            }
            self.current = Some(fresh.clone());
        }
        found
    }

    /// Whether the files hold something that was told to be useless.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.files.is_refused()
    }
}

impl WatchedTrust {
    /// Watches the file that `current` was read from; the system's CAs, which are many files in places of its
    /// own choice, are looked at when an operator asks.
    #[must_use]
    pub fn new(path: Option<PathBuf>, current: Trust) -> Self {
        Self { path, current, files: Files::default() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Looks at the file at the moment `at`. Blocks for as long as the disk takes.
    pub fn look(&mut self, asked: Asked, at: Instant) -> Found<Trust> {
        let found = match &self.path {
            Some(path) => {
                let contents = Contents::read(&[path]);
                match self.files.rested(contents, asked, at) {
                    Some(rested) => self.files.judge(Trust::file(path), asked, rested),
                    None => Found::Nothing,
                }
            }
            None if asked == Asked::BySchedule => Found::Nothing,
            None => match Trust::system() {
                Ok(fresh) => Found::Fresh(fresh),
                Err(error) => Found::Refused(error),
            },
        };
        match found {
            Found::Fresh(fresh) if fresh == self.current => Found::Nothing,
            Found::Fresh(fresh) => {
                self.current = fresh.clone();
                Found::Fresh(fresh)
            }
            other => other,
        }
    }

    /// Whether the file holds something that was told to be useless.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.files.is_refused()
    }
}

impl Files {
    /// For how long they have been what they are, if that is to be read now.
    fn rested(&mut self, contents: Contents, asked: Asked, at: Instant) -> Option<Duration> {
        if self.used.as_ref() == Some(&contents) {
            self.changed = None;
            return None;
        }
        let change = match self.changed.take() {
            Some(change) if change.contents == contents => self.changed.insert(change),
            _ => self.changed.insert(Change { contents, since: at, told: false }),
        };
        let rested = at.saturating_duration_since(change.since);
        let first = self.used.is_none();
        (asked == Asked::ByOperator || rested >= SETTLE || first).then_some(rested)
    }

    /// What to do with what was read from them.
    fn judge<T>(&mut self, read: Result<T, Error>, asked: Asked, rested: Duration) -> Found<T> {
        match (read, &mut self.changed) {
            (Ok(fresh), changed) => {
                self.used = changed.take().map(|change| change.contents);
                Found::Fresh(fresh)
            }
            (Err(error), Some(change))
                if asked == Asked::ByOperator || (rested >= PATIENCE && !change.told) =>
            {
                change.told = true;
                Found::Refused(error)
            }
            (Err(_), _) => Found::Nothing,
        }
    }

    fn is_refused(&self) -> bool {
        self.changed.as_ref().is_some_and(|change| change.told)
    }
}

/// Whether `fresh` can take the place of `current`.
fn succeeds(
    current: Option<&Identity>,
    fresh: Identity,
    wanted: &Wanted,
) -> Result<Identity, Error> {
    for purpose in &wanted.purposes {
        let was = |current: &Identity| current.check_purpose(*purpose).is_ok();
        if current.is_none_or(was) {
            fresh.check_purpose(*purpose)?;
        }
    }
    let covered = |name: &&String| current.is_none_or(|current| current.covers(name));
    let lost = |name: &&String| covered(name) && !fresh.covers(name);
    if let Some(name) = wanted.names.iter().find(lost) {
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

/// What is in files, by digest; nothing of one that cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Contents(Vec<Option<Vec<u8>>>);

impl Contents {
    fn read(paths: &[&Path]) -> Self {
        let digest = |path: &&Path| {
            let bytes = pem::bytes(path).ok()?;
            Some(digest(&SHA256, &bytes).as_ref().to_vec())
        };
        Self(paths.iter().map(digest).collect())
    }
}

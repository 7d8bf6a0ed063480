//! Files that are there whole or not at all.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::error::Error;

/// A directory that nobody else changes while this is held: two processes that both find no CA must
/// not both make one.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    directory: File,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Everybody.
    Everybody,
}

impl Locked {
    /// Opens the directory, making it where it is missing: 0700, since keys will be in it.
    ///
    /// Waits while another process holds it, which is for the making of one certificate.
    ///
    /// # Errors
    ///
    /// If it cannot be made or opened, or if others can write to it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Write { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let directory = File::open(path).map_err(failed)?;
        let mode = directory.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o002 != 0 {
            return Err(Error::DirectoryMode { path: path.to_owned(), mode });
        }
        directory.lock().map_err(failed)?;
        Ok(Self { path: path.to_owned(), directory })
    }

    /// Writes a file of the directory: a temporary one beside it, synced, renamed over it, and the
    /// directory synced.
    ///
    /// # Errors
    ///
    /// If the system does not let us; what was there is still there.
    pub fn write(&self, name: &str, bytes: &[u8], readers: Readers) -> Result<(), Error> {
        let path = self.path.join(name);
        let failed = |source: io::Error| Error::Write { path: path.clone(), source };
        let temporary = self.path.join(format!(".{name}.{:016x}.tmp", fastrand::u64(..)));
        let written = write_synced(&temporary, bytes, readers)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| self.directory.sync_all());
        if written.is_err() {
            // The write's own error says more than this one would.
            fs::remove_file(&temporary).ok();
        }
        written.map_err(failed)
    }
}

fn write_synced(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everybody => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_key_is_0600_below_0700_and_nothing_else_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/certs");
        let directory = Locked::open(&path).unwrap();
        for text in ["one", "two"] {
            directory.write("a.key", text.as_bytes(), Readers::Owner).unwrap();
            directory.write("a.pem", text.as_bytes(), Readers::Everybody).unwrap();
            assert_eq!(fs::read_to_string(path.join("a.key")).unwrap(), text);
        }
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("a.key")), 0o600);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Locked::open(folder.path()).unwrap();
        // A directory cannot be renamed over.
        fs::create_dir(folder.path().join("a.pem")).unwrap();
        let error = directory.write("a.pem", b"x", Readers::Everybody).unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Locked::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("(mode 0777): run `chmod 700"), "{error}");
    }
}

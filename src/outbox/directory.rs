//! The directory: who may write to it, which file system it is on, and who holds it (rule J6).
//!
//! `outbox.lock` is locked for the life of the process that uses the outbox; the kernel lets go of it
//! however that process ends. It holds one line, `<pid> <start, RFC 3339>`, for the next one to say
//! who is there. Nothing else is ever read from it.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::fs::TryLockError;
use std::io;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use time::OffsetDateTime;
use tracing::warn;

use crate::event::schema::time_text;

use super::Error;

/// The directory, held by this process for as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Its lock is what holds the directory.
    _lock: File,
}

/// What a file system means for us.
#[derive(Debug, PartialEq, Eq)]
enum FileSystem {
    Local,
    /// Local in a sandbox or a virtual machine, remote elsewhere: nobody can tell from here. Taken,
    /// because refusing it would shut out gVisor (9p) and Kata or virtiofs (FUSE) volumes, which are
    /// sound; said, because a share mounted that way is not.
    Unclear(&'static str),
    Network(&'static str),
}

impl Directory {
    /// Makes the directory if there is none, checks it, and takes hold of it.
    pub(super) fn hold(path: &Path, now: OffsetDateTime) -> Result<Self, Error> {
        let failed = |source| Error::Directory { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(Error::WritableByOthers { path: path.to_owned(), mode });
        }
        let magic = rustix::fs::statfs(path).map_err(|e| failed(e.into()))?.f_type;
        // The kernel's constants are 32 bits wide; some platforms sign-extend them.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the upper half carries nothing"
        )]
        match file_system(magic as u32) {
            FileSystem::Local => {}
            FileSystem::Unclear(kind) => {
                warn!(directory = %path.display(), kind, "The outbox needs a local disk, and this file system may not be one");
            }
            FileSystem::Network(kind) => {
                return Err(Error::NetworkFileSystem { path: path.to_owned(), kind });
            }
        }
        let lock = lock(&path.join("outbox.lock"), now)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The database in it.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("outbox.db")
    }
}

/// Takes a file out of everybody else's reach.
pub(super) fn keep_private(file: &Path) -> Result<(), Error> {
    let failed = |source| Error::Directory { path: file.to_owned(), source };
    fs::set_permissions(file, Permissions::from_mode(0o600)).map_err(failed)
}

fn lock(path: &Path, now: OffsetDateTime) -> Result<File, Error> {
    let failed = |source| Error::Directory { path: path.to_owned(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // What it says is only for the message; a file that cannot be read says nothing.
            let _unread: io::Result<usize> = file.take(128).read_to_string(&mut text);
            let (pid, holder) = holder(&text);
            return Err(Error::Held { path: path.to_owned(), pid, holder });
        }
    }
    let line = format!("{} {}\n", std::process::id(), time_text(now));
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)?;
    Ok(file)
}

fn holder(text: &str) -> (Option<u32>, String) {
    let mut words = text.split_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok());
    let started = words.next().and_then(crate::event::schema::time_of).map(time_text);
    let holder = match (pid, started) {
        (Some(pid), Some(started)) => format!("process {pid}, running since {started}"),
        (Some(pid), None) => format!("process {pid}"),
        (None, _) => "another process".to_owned(),
    };
    (pid, holder)
}

/// The magic numbers of `statfs(2)` and the kernel's `magic.h`.
fn file_system(magic: u32) -> FileSystem {
    match magic {
        0x6969 => FileSystem::Network("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => FileSystem::Network("SMB/CIFS"),
        0x564c => FileSystem::Network("NCP"),
        0x5346_414f | 0x6b41_4653 => FileSystem::Network("AFS"),
        0x7375_7245 => FileSystem::Network("Coda"),
        0x00c3_6400 => FileSystem::Network("Ceph"),
        0x0bd0_0bd0 => FileSystem::Network("Lustre"),
        0x4750_4653 => FileSystem::Network("GPFS"),
        0x0116_1970 => FileSystem::Network("GFS2"),
        0x7461_636f => FileSystem::Network("OCFS2"),
        0x1983_0326 => FileSystem::Network("BeeGFS"),
        0x0102_1997 => FileSystem::Unclear("9p"),
        0x6573_5546 => FileSystem::Unclear("FUSE"),
        _ => FileSystem::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-03-01 09:15:02 UTC);

    #[test]
    fn a_new_directory_is_ours_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let _held = Directory::hold(&path, NOW).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("outbox.lock")), 0o600);
    }

    #[test]
    fn a_second_holder_learns_who_is_first() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("outbox");
        let first = Directory::hold(&path, NOW).unwrap();
        let error = Directory::hold(&path, NOW).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(&error, Error::Held { pid: Some(p), .. } if *p == pid), "{error}");
        let expected = format!("process {pid}, running since 2026-03-01T09:15:02.000Z");
        assert!(error.to_string().contains(&expected), "{error}");
        drop(first);
        Directory::hold(&path, NOW).unwrap();
    }

    #[test]
    fn a_directory_others_can_write_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("outbox");
        fs::create_dir(&path).unwrap();
        for (mode, refused) in
            [(0o777, true), (0o1777, true), (0o770, true), (0o702, true), (0o755, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let held = Directory::hold(&path, NOW);
            let is = matches!(held, Err(Error::WritableByOthers { .. }));
            assert_eq!(is, refused, "{mode:o} {held:?}");
        }
    }

    #[test]
    fn what_a_lock_file_says_is_only_a_hint() {
        for (text, pid, words) in [
            (
                "12 2026-03-01T09:15:02Z\n",
                Some(12),
                "process 12, running since 2026-03-01T09:15:02.000Z",
            ),
            ("12", Some(12), "process 12"),
            ("", None, "another process"),
            ("\u{1b}[2J rm", None, "another process"),
        ] {
            assert_eq!(holder(text), (pid, words.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn network_file_systems_are_known() {
        assert_eq!(file_system(0x6969), FileSystem::Network("NFS"));
        assert_eq!(file_system(0xfe53_4d42), FileSystem::Network("SMB/CIFS"));
        assert_eq!(file_system(0x0102_1997), FileSystem::Unclear("9p"));
        assert_eq!(file_system(0xef53), FileSystem::Local);
    }
}

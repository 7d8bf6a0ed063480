use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::process::run;

/// A small file system of its own, as long as it lives. Where the machine does not let us mount one there is none,
/// and a line says so.
pub(crate) struct Disk {
    at: PathBuf,
    /// The file it is in, if it is in one.
    image: Option<PathBuf>,
}

/// `FS_IOC_SHUTDOWN` without flushing the log (Linux, `fs/ext4/ext4.h`): what was not synced is gone. A test may not
/// call it itself, for that is `unsafe`.
const CUT: &str = "import fcntl, os, struct, sys\n\
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

impl Disk {
    /// One in memory, of this size.
    pub(crate) fn in_memory(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).arg(at);
        mounted(&mut mount).then(|| Self { at: at.to_owned(), image: None })
    }

    /// An ext4 in a file, whose power can be cut.
    pub(crate) fn ext4(image: &Path, at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        fs::File::create(image).unwrap().set_len(128 << 20).unwrap();
        let mut make = Command::new("/sbin/mkfs.ext4");
        run(make.args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(image)).ok();
        let disk = Self { at: at.to_owned(), image: Some(image.to_owned()) };
        let mounted = disk.mount();
        if mounted {
            run(Command::new("chmod").arg("0700").arg(at)).ok();
        }
        mounted.then_some(disk)
    }

    /// Cuts the power: from now on nothing is written or read.
    pub(crate) fn cut(&self) {
        run(Command::new("/usr/bin/python3").args(["-c", CUT]).arg(&self.at)).ok();
    }

    /// Brings it back, as far as it was synced. Nobody may have a file of it open.
    pub(crate) fn restore(&self) {
        run(Command::new("umount").arg(&self.at)).ok();
        assert!(self.mount(), "it was mounted before");
    }

    fn mount(&self) -> bool {
        let image = self.image.as_ref().expect("a disk in a file");
        mounted(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.at))
    }
}

fn mounted(mount: &mut Command) -> bool {
    let mounted = run(mount);
    if mounted.code != 0 {
        println!("SKIPPED: no file system can be mounted here: {}", mounted.err);
    }
    mounted.code == 0
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use super::process::Done;
use super::process::Process;
use super::process::run;
use super::wait::until;
use super::workdir::Workdir;

/// `skopeo`, which copies images as they are.
pub(crate) struct Skopeo;

impl Skopeo {
    /// From an OCI layout to a registry, trusting what is in the directory.
    pub(crate) fn push(trust: &Path, layout: &str, to: &str, options: &[&str]) -> Done {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--preserve-digests", "--dest-cert-dir"]);
        run(skopeo.arg(trust).args(options).args([layout, &format!("docker://{to}")]))
    }

    /// From a registry into an OCI layout in this directory.
    pub(crate) fn pull(trust: &Path, from: &str, directory: &Path) -> Done {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--all", "--preserve-digests", "--src-cert-dir"]);
        let to = format!("oci:{}:1", directory.display());
        run(skopeo.arg(trust).args([&format!("docker://{from}"), &to]))
    }
}

/// `podman`, with a store of its own.
pub(crate) struct Podman(PathBuf);

/// `buildah`, with a store of its own.
pub(crate) struct Buildah(PathBuf);

impl Podman {
    pub(crate) fn new(work: &Workdir) -> Self {
        work.write("podman/auth.json", "{}");
        Self(work.join("podman"))
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let mut podman = Command::new("podman");
        podman.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
        run(store(&mut podman, &self.0).args(words)).ok().out
    }
}

impl Buildah {
    pub(crate) fn new(work: &Workdir) -> Self {
        work.write("buildah/auth.json", "{}");
        Self(work.join("buildah"))
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        run(store(&mut Command::new("buildah"), &self.0).args(words)).ok().out.trim().to_owned()
    }
}

/// Nothing outside the workdir is read or written, no mount and no namespace is needed.
fn store<'a>(command: &'a mut Command, directory: &Path) -> &'a mut Command {
    command
        .env("BUILDAH_ISOLATION", "chroot")
        .env("REGISTRY_AUTH_FILE", directory.join("auth.json"))
        .env("TMPDIR", directory)
        .args(["--storage-driver", "vfs", "--root"])
        .arg(directory.join("root"))
        .arg("--runroot")
        .arg(directory.join("run"))
}

/// Docker's own daemon and client, with files and socket in the workdir.
pub(crate) struct Docker {
    daemon: Process,
    directory: PathBuf,
}

impl Docker {
    /// A daemon without network, which pushing and pulling do not need.
    #[track_caller]
    pub(crate) fn start(work: &Workdir) -> Self {
        let directory = work.directory("docker");
        let mut command = as_root("dockerd");
        command
            .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
            .arg("--storage-driver=vfs")
            .arg("--config-file")
            .arg(work.write("docker/daemon.json", "{}"))
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", directory.join("socket").display()));
        let mut docker = Self { daemon: Process::start(&mut command), directory };
        until("dockerd to answer", || {
            assert!(docker.daemon.ended().is_none(), "{}", docker.daemon.lines().join("\n"));
            (run(&mut docker.command(&["version"])).code == 0).then_some(())
        });
        docker
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        run(&mut self.command(words)).ok().out
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = as_root("docker");
        command.arg("--config").arg(self.directory.join("client")).arg("--host");
        command.arg(format!("unix://{}", self.directory.join("socket").display())).args(words);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It has a child of its own, containerd, which it takes along only if it may end by itself.
        if rustix::process::geteuid().is_root() {
            self.daemon.signal(Signal::TERM);
        } else {
            run(as_root("kill").arg(self.daemon.id().to_string()));
        }
        self.daemon.wait();
        run(as_root("rm").arg("-rf").arg(&self.directory));
    }
}

/// A shell script run by root, where what it mounts is seen by nobody else.
#[track_caller]
pub(crate) fn with_mounts(script: &str) -> Done {
    run(as_root("unshare").args(["--mount", "sh", "-ec", script]))
}

/// The daemon runs as root only; everything else the tests start runs as who runs them.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", program]);
    sudo
}

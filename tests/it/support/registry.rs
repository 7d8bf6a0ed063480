use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use super::process::Process;
use super::until;
use super::workdir::Workdir;

/// Docker Distribution as Debian ships it, on a port of its own, with its files in the workdir.
pub(crate) struct Registry {
    config: PathBuf,
    port: u16,
    process: Option<Process>,
}

/// The one account of a registry with a login.
pub(crate) const USER: &str = "ci-bot";
pub(crate) const PASSWORD: &str = "open-sesame";
/// `htpasswd -nbB ci-bot open-sesame`; the registry takes nothing but bcrypt.
const HTPASSWD: &str = "ci-bot:$2y$05$f7m9ZdG0guugwCWpceBAUeb3duq2fFDzXIVs2rbFGacY1v4x1zB7a\n";

/// Without a line for each request.
const SILENT: &str = ", accesslog: {disabled: true}";

impl Registry {
    /// One that lets everybody in.
    pub(crate) fn start(work: &Workdir) -> Self {
        Self::on_a_free_port(work, SILENT, "")
    }

    /// The same, and a line for each request among those it prints.
    pub(crate) fn with_access_log(work: &Workdir) -> Self {
        Self::on_a_free_port(work, "", "")
    }

    /// Every line it printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.process.as_ref().map(Process::lines).unwrap_or_default()
    }

    /// One that lets in only [`USER`] with [`PASSWORD`].
    pub(crate) fn with_login(work: &Workdir) -> Self {
        let file = work.write("registry/htpasswd", HTPASSWD);
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        Self::on_a_free_port(work, SILENT, &auth)
    }

    /// Plain HTTP, as a sidecar's neighbour speaks it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// `host:port`
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the process; the files stay.
    pub(crate) fn stop(&mut self) {
        self.process.take().expect("a registry that runs").kill();
    }

    /// Starts it again, where it was and with what it had.
    pub(crate) fn again(&mut self) {
        assert!(self.listen(), "another program took port {}", self.port);
    }

    fn on_a_free_port(work: &Workdir, log: &str, more: &str) -> Self {
        let storage = work.directory("registry/storage");
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "version: 0.1\n\
                 log: {{level: info{log}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\"}}\n{more}",
                storage.display()
            );
            let config = work.write("registry/config.yml", config);
            let mut registry = Self { config, port, process: None };
            if registry.listen() {
                return registry;
            }
        }
        panic!("no free port for the registry in 20 attempts");
    }

    /// Whether it came up. The port was free a moment ago, so somebody may have been faster.
    fn listen(&mut self) -> bool {
        let mut command = Command::new("docker-registry");
        let mut process = Process::start(command.arg("serve").arg(&self.config));
        let up = until("the registry to listen", || {
            let listens = process.lines().iter().any(|line| line.contains("listening on"));
            if listens { Some(true) } else { process.ended().map(|_| false) }
        });
        self.process = Some(process);
        up
    }
}

use std::fs;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use super::pki::Pair;
use super::process::Process;
use super::until;
use super::workdir::Workdir;

/// Docker Distribution as Debian ships it, on a port of its own, with its files in the workdir.
pub(crate) struct Registry {
    config: PathBuf,
    port: u16,
    http: Http,
    mute: bool,
    /// The CA it trusts when it calls others, in the place of the system's.
    trust: Option<PathBuf>,
    process: Option<Process>,
}

/// How a registry is spoken to.
#[derive(Clone)]
pub(crate) enum Http {
    /// Without TLS.
    Plain,
    /// With TLS, by clients only that have a certificate of this CA.
    MutualTls { server: Pair, ca: PathBuf },
    /// Without TLS, through a socket in the file system.
    Socket(PathBuf),
}

/// The one account of a registry with a login.
pub(crate) const USER: &str = "ci-bot";
pub(crate) const PASSWORD: &str = "open-sesame";
/// `htpasswd -nbB ci-bot open-sesame`; the registry takes nothing but bcrypt.
const HTPASSWD: &str = "ci-bot:$2y$05$f7m9ZdG0guugwCWpceBAUeb3duq2fFDzXIVs2rbFGacY1v4x1zB7a\n";

/// Without a line for each request.
const SILENT: &str = "{level: info, accesslog: {disabled: true}}";

/// Without a line for anything but what fails, and those go nowhere.
const MUTE: &str = "{level: error, accesslog: {disabled: true}}";

/// Where a registry keeps what it has.
enum Storage {
    Files,
    Memory,
}

/// A file of that account alone.
pub(crate) fn htpasswd() -> &'static str {
    HTPASSWD
}

impl Registry {
    /// One that lets everybody in.
    pub(crate) fn start(work: &Workdir) -> Self {
        Self::with(work, Http::Plain, "")
    }

    /// One that lets in only [`USER`] with [`PASSWORD`].
    pub(crate) fn with_login(work: &Workdir) -> Self {
        let file = work.write("registry/htpasswd", HTPASSWD);
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        Self::with(work, Http::Plain, &auth)
    }

    /// One that lets everybody in, and has a line for each request among those it prints.
    pub(crate) fn with_access_log(work: &Workdir) -> Self {
        Self::keeping(work, Storage::Files, "{level: info}", Http::Plain, "")
    }

    /// One that lets everybody in, forgets everything when it ends, and prints nothing, however much it is
    /// asked.
    pub(crate) fn in_memory(work: &Workdir) -> Self {
        Self::keeping(work, Storage::Memory, MUTE, Http::Plain, "")
    }

    /// Every line it printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.process.as_ref().map(Process::lines).unwrap_or_default()
    }

    /// Where it is, as a sidecar is told.
    pub(crate) fn url(&self) -> String {
        match &self.http {
            Http::Plain => format!("http://{}", self.host()),
            Http::MutualTls { .. } => format!("https://{}", self.host()),
            Http::Socket(path) => format!("unix:{}", path.display()),
        }
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

    /// Starts it again with these lines at the end of its file, trusting this CA.
    pub(crate) fn reconfigure(&mut self, more: &str, ca: &Path) {
        self.stop();
        let config = fs::read_to_string(&self.config).unwrap() + more;
        fs::write(&self.config, config).unwrap();
        self.trust = Some(ca.to_owned());
        self.again();
    }

    /// One that is spoken to like this, with these lines at the end of its file. A line that starts with
    /// blanks is one of its `http` section.
    pub(crate) fn with(work: &Workdir, http: Http, more: &str) -> Self {
        Self::keeping(work, Storage::Files, SILENT, http, more)
    }

    fn keeping(work: &Workdir, storage: Storage, log: &str, http: Http, more: &str) -> Self {
        let files = work.directory("registry/storage");
        let storage = match storage {
            Storage::Files => format!(
                "{{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}",
                files.display()
            ),
            Storage::Memory => "{inmemory: {}}".to_owned(),
        };
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "version: 0.1\n\
                 log: {log}\n\
                 storage: {storage}\n\
                 http:\n  {}\n{more}",
                http.lines(port).join("\n  "),
            );
            let config = work.write("registry/config.yml", config);
            let http = http.clone();
            let mut registry =
                Self { config, port, http, mute: log == MUTE, trust: None, process: None };
            if registry.listen() {
                return registry;
            }
        }
        panic!("no free port for the registry in 20 attempts");
    }

    /// Whether it came up. The port was free a moment ago, so somebody may have been faster.
    fn listen(&mut self) -> bool {
        let mut command = if self.mute {
            let mut shell = Command::new("sh");
            shell.args(["-c", "exec docker-registry serve \"$0\" >/dev/null 2>&1"]);
            shell
        } else {
            let mut registry = Command::new("docker-registry");
            registry.arg("serve");
            registry
        };
        if let Some(ca) = &self.trust {
            command.env("SSL_CERT_FILE", ca);
        }
        let mut process = Process::start(command.arg(&self.config));
        let up = until("the registry to listen", || {
            let listens = if self.mute {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            } else {
                process.lines().iter().any(|line| line.contains("listening on"))
            };
            if listens { Some(true) } else { process.ended().map(|_| false) }
        });
        self.process = Some(process);
        up
    }
}

impl Http {
    fn lines(&self, port: u16) -> Vec<String> {
        let address = format!("addr: \"127.0.0.1:{port}\"");
        match self {
            Self::Plain => vec![address],
            Self::MutualTls { server, ca } => vec![
                address,
                format!(
                    "tls: {{certificate: {}, key: {}, clientcas: [{}]}}",
                    server.certificate.display(),
                    server.key.display(),
                    ca.display()
                ),
            ],
            Self::Socket(path) => vec![format!("addr: {}", path.display()), "net: unix".to_owned()],
        }
    }
}

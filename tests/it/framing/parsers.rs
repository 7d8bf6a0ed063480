use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;

use crate::support::Curl;
use crate::support::Process;
use crate::support::Registry;
use crate::support::Workdir;
use crate::support::sha256;
use crate::support::until;

use super::recorder::Recorder;

/// Who else reads HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Go's parser, in the registry itself.
    DockerRegistry,
    /// These three stand before the recorder, which hears from them what they understood.
    Nginx,
    Apache,
    Haproxy,
    /// Nothing between: the recorder sees the bytes themselves.
    None,
}

/// One of them, running.
pub(super) struct Parser {
    pub(super) kind: Kind,
    running: Running,
}

enum Running {
    Registry(Registry),
    Before(Recorder, Server),
    Recorder(Recorder),
}

struct Server {
    port: u16,
    process: Process,
}

/// A request as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Understood {
    pub(super) method: String,
    pub(super) path: String,
    /// The digest of the body, if whoever understood it told.
    pub(super) body: Option<String>,
    /// Whether it was acted on, as far as that is known: a registry writes down what it was never sent whole.
    pub(super) taken: bool,
}

impl Parser {
    pub(super) fn start(work: &Workdir, kind: Kind) -> Self {
        let recorder = Recorder::start();
        let to = recorder.address().to_string();
        let running = match kind {
            Kind::DockerRegistry => Running::Registry(Registry::with_access_log(work)),
            Kind::None => Running::Recorder(recorder),
            _ => Running::Before(recorder, Server::start(work, kind, &to)),
        };
        Self { kind, running }
    }

    pub(super) fn address(&self) -> String {
        match &self.running {
            Running::Registry(registry) => registry.host(),
            Running::Before(_, server) => format!("127.0.0.1:{}", server.port),
            Running::Recorder(recorder) => recorder.address().to_string(),
        }
    }

    pub(super) fn recorder(&self) -> Option<&Recorder> {
        match &self.running {
            Running::Registry(_) => None,
            Running::Before(recorder, _) | Running::Recorder(recorder) => Some(recorder),
        }
    }

    /// What it understood in all, now that nobody sends anything any more.
    pub(super) fn understood(&mut self, work: &Workdir) -> Vec<Understood> {
        match &mut self.running {
            Running::Registry(registry) => {
                let direct = Curl::direct(work, &registry.url());
                // Requests are written down when they end, so the last one is behind all others.
                assert_eq!(direct.get("/v2/last/tags/list").status, 404);
                let written = |line: &String| line.contains("GET /v2/last/tags/list ");
                until("the last line of the access log", || {
                    registry.lines().iter().any(written).then_some(())
                });
                let lines = registry.lines();
                lines.iter().filter(|line| !written(line)).filter_map(|line| logged(line)).collect()
            }
            Running::Before(recorder, server) => {
                server.process.signal(match self.kind {
                    Kind::Nginx => Signal::QUIT,
                    Kind::Apache => Signal::WINCH,
                    _ => Signal::USR1,
                });
                server.process.wait();
                recorded(recorder)
            }
            Running::Recorder(recorder) => recorded(recorder),
        }
    }
}

/// What a recorder heard.
pub(super) fn recorded(recorder: &Recorder) -> Vec<Understood> {
    let understood = recorder.requests().into_iter().map(|request| Understood {
        method: request.method,
        path: request.path,
        body: Some(sha256(&request.body)),
        taken: true,
    });
    understood.collect()
}

/// `127.0.0.1 - - [date] "PUT /v2/a/manifests/b HTTP/1.1" 201 0 "" "agent"`
fn logged(line: &str) -> Option<Understood> {
    if !line.starts_with("127.0.0.1 - ") {
        return None;
    }
    let (_, rest) = line.split_once("] \"")?;
    let (request, status) = rest.split_once(" HTTP/1.1\" ")?;
    let (method, path) = request.split_once(' ')?;
    // The log escapes what would end its own quotes.
    let path = path.replace("\\\"", "\"");
    let taken = status.starts_with('2');
    Some(Understood { method: method.to_owned(), path, body: None, taken })
}

impl Server {
    fn start(work: &Workdir, kind: Kind, to: &str) -> Self {
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut process = Process::start(&mut command(work, kind, port, to));
            let up = until("the server to listen", || {
                let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
                if listens { Some(true) } else { process.ended().map(|_| false) }
            });
            if up {
                return Self { port, process };
            }
        }
        panic!("{kind:?} did not start in 20 attempts");
    }
}

/// The way each of them passes on what it understood, byte for byte where it can.
fn command(work: &Workdir, kind: Kind, port: u16, to: &str) -> Command {
    let directory = work.path().display();
    let (program, config) = match kind {
        Kind::Nginx => (
            "nginx",
            format!(
                "daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr;\n\
                 events {{}}\n\
                 http {{\n\
                 access_log off; merge_slashes off; client_max_body_size 0;\n\
                 client_body_temp_path {directory}/nginx-body; proxy_temp_path {directory}/nginx-proxy;\n\
                 fastcgi_temp_path {directory}/nginx-1; uwsgi_temp_path {directory}/nginx-2;\n\
                 scgi_temp_path {directory}/nginx-3;\n\
                 server {{ listen 127.0.0.1:{port}; location / {{\n\
                 proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
                 proxy_set_header Host $http_host; proxy_pass http://{to}$request_uri; }} }}\n}}\n"
            ),
        ),
        Kind::Apache => (
            "apache2",
            format!(
                "ServerRoot {directory}\nServerName localhost\nPidFile {directory}/apache.pid\n\
                 Listen 127.0.0.1:{port}\nUser www-data\nGroup www-data\nErrorLog /dev/stderr\n\
                 LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
                 LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
                 LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so\n\
                 LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so\n\
                 AllowEncodedSlashes NoDecode\nStartServers 1\nServerLimit 1\nThreadsPerChild 16\n\
                 MaxRequestWorkers 16\nDefaultRuntimeDir {directory}\nMutex posixsem\nTimeout 5\n\
                 ProxyPass / http://{to}/ nocanon\n"
            ),
        ),
        _ => (
            "haproxy",
            format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
                 frontend f\n bind 127.0.0.1:{port}\n default_backend b\n\
                 backend b\n server s {to}\n"
            ),
        ),
    };
    let config = work.write(&format!("{program}.conf"), config);
    // Debian keeps servers where only root's PATH leads.
    let mut command = Command::new(format!("/usr/sbin/{program}"));
    match kind {
        Kind::Nginx => command.args(["-p", work.path().to_str().unwrap(), "-c"]).arg(config),
        Kind::Apache => command.args(["-D", "FOREGROUND", "-f"]).arg(config),
        _ => command.args(["-db", "-f"]).arg(config),
    };
    command
}

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::FAR;
use super::Kind;
use super::Setting;

/// HAProxy with larger buffers and windows than it comes with.
pub(super) const HAPROXY: Kind = Kind {
    name: "HAProxy",
    family: "haproxy",
    usual: true,
    scene: None,
    program: Cow::Borrowed("haproxy"),
    install: "apt-get install haproxy",
    version: &["-vv"],
    command: |program, setting| start(program, setting, &sizes(1 << 20)),
};

/// HAProxy as it comes: some things it does better so.
pub(super) const HAPROXY_DEFAULT: Kind = Kind {
    name: "HAProxy-default",
    command: |program, setting| start(program, setting, ""),
    ..HAPROXY
};

/// HAProxy with a window of HTTP/2 that fills a long way.
pub(super) const HAPROXY_WIDE: Kind = Kind {
    name: "HAProxy-wide",
    scene: Some(FAR),
    command: |program, setting| start(program, setting, &sizes(16 << 20)),
    ..HAPROXY
};

/// Larger pieces, and a larger window.
fn sizes(window: u32) -> String {
    format!(
        "    tune.bufsize 65536
    tune.h2.initial-window-size {window}
"
    )
}

fn start(program: &Path, setting: &Setting<'_>, tuning: &str) -> Result<Command> {
    let file = setting.directory.join("haproxy.cfg");
    // It wants the certificate and its key in one file.
    let pem = setting.directory.join("tls.pem");
    let pair = [fs::read(&setting.pki.certificate)?, fs::read(&setting.pki.key)?].concat();
    fs::write(&pem, pair)?;
    fs::write(&file, configuration(setting, &pem, tuning))?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}

fn configuration(setting: &Setting<'_>, pem: &Path, tuning: &str) -> String {
    let Setting { port, upstream, .. } = setting;
    let pem = pem.display();
    format!(
        "global
    nbthread 2
    maxconn 4096
{tuning}defaults
    mode http
    timeout connect 5s
    timeout client 900s
    timeout server 900s
    timeout http-keep-alive 75s
    option forwardfor
    http-reuse always
frontend tls
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1 ssl-min-ver TLSv1.2
    http-request set-header X-Forwarded-Proto https
    default_backend registry
backend registry
    server registry 127.0.0.1:{upstream}
"
    )
}

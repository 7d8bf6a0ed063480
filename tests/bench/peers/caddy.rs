use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Kind;
use super::Setting;

/// Caddy, which is written in Go as most registries are. It has little to tune.
pub(super) const CADDY: Kind = Kind {
    name: "Caddy",
    family: "caddy",
    usual: false,
    scene: None,
    program: Cow::Borrowed("caddy"),
    install: "apt-get install caddy",
    version: &["version"],
    command: start,
};

fn start(program: &Path, setting: &Setting<'_>) -> Result<Command> {
    let directory = setting.directory;
    let file = directory.join("Caddyfile");
    fs::write(&file, configuration(setting))?;
    let mut command = Command::new(program);
    // It keeps state where these say.
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(home, directory);
    }
    command.arg("run").arg("--adapter").arg("caddyfile").arg("--config").arg(file);
    Ok(command)
}

fn configuration(setting: &Setting<'_>) -> String {
    let Setting { port, upstream, pki, .. } = setting;
    let (certificate, key) = (pki.certificate.display(), pki.key.display());
    format!(
        "{{
    admin off
    auto_https disable_redirects
    log {{
        level ERROR
    }}
    servers {{
        protocols h1 h2
    }}
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {certificate} {key}
    reverse_proxy 127.0.0.1:{upstream} {{
        flush_interval -1
        transport http {{
            read_buffer 64KiB
            write_buffer 64KiB
        }}
    }}
}}
"
    )
}

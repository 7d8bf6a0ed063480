use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Kind;
use super::Setting;

/// Ours, as the benchmark's own profile builds it, with every default.
pub(super) const PUSHBELL: Kind = Kind {
    name: "Pushbell",
    family: "pushbell",
    usual: true,
    scene: None,
    program: Cow::Borrowed(env!("CARGO_BIN_EXE_pushbell")),
    install: "cargo build --release",
    version: &["--version"],
    command,
};

fn command(program: &Path, setting: &Setting<'_>) -> Result<Command> {
    let directory = setting.directory;
    let file = directory.join("pushbell.yaml");
    fs::write(&file, configuration(setting))?;
    let mut command = Command::new(program);
    // Nothing of who runs the benchmark may change what is measured.
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(directory);
    command.arg("run").arg("--config").arg(file);
    Ok(command)
}

fn configuration(setting: &Setting<'_>) -> String {
    let Setting { port, upstream, pki, directory, webhook, .. } = setting;
    let endpoints = webhook.map_or_else(String::new, |receiver| {
        let ca = pki.ca();
        let ca = ca.display();
        format!(
            "endpoints:
  - {{ name: build, url: \"https://localhost:{receiver}/hook\", tls: {{ ca: {ca} }}, timeout: 60s }}
"
        )
    });
    format!(
        "registry: {{ name: registry.example.com, upstream: \"http://127.0.0.1:{upstream}\" }}
identities:
  registry: {{ files: {{ certificate: {}, key: {} }} }}
listeners:
  - {{ address: \"127.0.0.1:{port}\", serve: [registry], identity: registry }}
state: {{ directory: {}/state }}
{endpoints}",
        pki.certificate.display(),
        pki.key.display(),
        directory.display(),
    )
}

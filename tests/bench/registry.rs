use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use aws_lc_rs::digest;
use bytes::Bytes;
use http::Method;
use http::StatusCode;
use http::header;
use serde_json::json;
use tokio::time::sleep;

use crate::body::Body;
use crate::body::swallow;
use crate::client::Client;
use crate::client::Connection;
use crate::client::Protocol;
use crate::client::Target;
use crate::client::Tls;
use crate::lineup::Stage;
use crate::peers::free_port;
use crate::process::Process;

/// The name of Docker Distribution, where it tells of pushes itself.
pub(crate) const DISTRIBUTION: &str = "Distribution";

/// Docker Distribution as Debian ships it, with its files in the benchmark's directory.
pub(crate) struct Registry {
    pub(crate) port: u16,
    storage: PathBuf,
    process: Process,
}

/// A piece of content with its name.
pub(crate) struct Blob {
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
}

pub(crate) const INSTALL: &str = "apt-get install docker-registry skopeo";
/// The media type of the manifests here.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// How long the registry may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(5);

impl Registry {
    /// Starts one that tells nobody of anything, or one that notifies a receiver on this port of pushes.
    pub(crate) async fn start(
        stage: &Stage,
        directory: &Path,
        notify: Option<u16>,
    ) -> Result<Self> {
        let storage = directory.join("storage");
        fs::create_dir_all(&storage)?;
        let port = free_port()?;
        let config = directory.join("registry.yml");
        fs::write(
            &config,
            format!(
                "version: 0.1\n\
                 log: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: \"127.0.0.1:{port}\"}}\n\
                 {}",
                storage.display(),
                notify.map(notifications).unwrap_or_default()
            ),
        )?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).env("SSL_CERT_FILE", stage.pki.ca());
        let process = Process::start(&mut command, &directory.join("registry.log"))?;
        let mut registry = Self { port, storage, process };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = registry.ask(&stage.client).await {
            if registry.process.ended()? || Instant::now() > deadline {
                bail!("docker-registry: {error:#}{}", registry.process.last_words());
            }
            sleep(STEP).await;
        }
        Ok(registry)
    }

    /// Past everybody.
    pub(crate) fn target(&self) -> Target {
        Target { port: self.port, tls: Tls::No }
    }

    /// Forgets everything, so that the next push has to bring all of it.
    pub(crate) fn empty(&self) -> Result<()> {
        match fs::remove_dir_all(self.storage.join("docker")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("empty the registry")
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, client: &Client) -> Result<()> {
        client.connect(self.target(), Protocol::Http1).await?.ask().await
    }
}

/// Distribution's own way to tell: of manifests that are pushed, and of nothing else.
fn notifications(receiver: u16) -> String {
    format!(
        "notifications:
  endpoints:
    - name: build
      url: https://localhost:{receiver}/hook
      timeout: 60s
      threshold: 5
      backoff: 1s
      ignore: {{mediatypes: [application/octet-stream], actions: [pull]}}
"
    )
}

impl Blob {
    pub(crate) fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let hash = digest::digest(&digest::SHA256, &bytes);
        let hex =
            hash.as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        Self { digest: format!("sha256:{hex}"), bytes }
    }

    /// Bytes that nobody can compress.
    pub(crate) fn random(size: usize) -> Self {
        let mut bytes = vec![0; size];
        fastrand::fill(&mut bytes);
        Self::of(bytes)
    }

    /// The configuration of an image with these layers.
    pub(crate) fn config(layers: &[Self]) -> Self {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        Self::of(config.to_string())
    }

    /// The manifest that holds an image together.
    pub(crate) fn manifest(config: &Self, layers: &[Self], note: &str) -> Self {
        let layers: Vec<_> = layers.iter().map(|layer| layer.descriptor(LAYER)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": layers,
            "annotations": { "org.opencontainers.image.revision": note },
        });
        Self::of(manifest.to_string())
    }

    /// What names it in a manifest or an index.
    pub(crate) fn descriptor(&self, media_type: &str) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.bytes.len() })
    }

    /// Uploads it in one piece.
    pub(crate) async fn upload(&self, connection: &mut Connection, repository: &str) -> Result<()> {
        let begin = format!("/v2/{repository}/blobs/uploads/");
        let response = connection.send(Method::POST, &begin, None, Body::empty()).await?;
        ensure!(response.status() == StatusCode::ACCEPTED, "{begin}: {}", response.status());
        let location = response.headers().get(header::LOCATION).context("an upload has a place")?;
        let location: http::Uri = location.to_str()?.parse()?;
        let place = location.path_and_query().context("an upload's place has a path")?;
        let joint = if place.query().is_some() { '&' } else { '?' };
        let put = format!("{place}{joint}digest={}", self.digest);
        swallow(response.into_body()).await?;
        let body = Body::of(self.bytes.clone());
        connection.exchange(Method::PUT, &put, body, StatusCode::CREATED).await?;
        Ok(())
    }
}

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use aws_lc_rs::digest;
use serde_json::Value;
use serde_json::json;

use super::process::run;
use super::workdir::Workdir;

/// An image of one layer, small and real: every tool can push, pull and unpack it.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
    platform: Value,
}

/// An image index and the images it lists.
#[derive(Clone)]
pub(crate) struct Index {
    pub(crate) manifest: Vec<u8>,
    pub(crate) images: Vec<Image>,
}

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// `sha256:` and the hex digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Image {
    /// An image with a file that says `text`; another text makes another image.
    pub(crate) fn new(work: &Workdir, text: &str) -> Self {
        Self::on(work, text, json!({"os": "linux", "architecture": "amd64"}))
    }

    pub(crate) fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// Bytes of manifest, config and layer.
    pub(crate) fn total_size(&self) -> usize {
        self.manifest.len() + self.config.len() + self.layer.len()
    }

    /// An OCI layout on disk, as skopeo names it: `oci:<directory>:<tag>`.
    pub(crate) fn layout(&self, work: &Workdir, name: &str) -> String {
        layout(work, name, IMAGE, &self.manifest, std::slice::from_ref(self))
    }

    fn on(work: &Workdir, text: &str, platform: Value) -> Self {
        let directory = work.directory("layer");
        work.write("layer/greeting", text);
        let mut tar = Command::new("tar");
        tar.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0"]);
        run(tar.args(["--file", "../layer.tar", "greeting"]).current_dir(&directory)).ok();
        let diff_id = sha256(&fs::read(work.join("layer.tar")).unwrap());
        run(Command::new("gzip").args(["-nf"]).arg(work.join("layer.tar"))).ok();
        let layer = fs::read(work.join("layer.tar.gz")).unwrap();
        let mut config = json!({
            "config": {}, "created": "2026-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        });
        for (key, value) in platform.as_object().unwrap() {
            config[key] = value.clone();
        }
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, &layer)],
            "annotations": {"org.opencontainers.image.revision": text},
        });
        let manifest = manifest.to_string().into_bytes();
        Self { manifest, config, layer, platform }
    }
}

impl Index {
    /// One image for each of three platforms.
    pub(crate) fn new(work: &Workdir, text: &str) -> Self {
        let platforms = [
            json!({"os": "linux", "architecture": "amd64"}),
            json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
            json!({"os": "linux", "architecture": "s390x"}),
        ];
        let images = platforms.map(|platform| {
            let text = format!("{text} on {}", platform["architecture"]);
            Image::on(work, &text, platform)
        });
        let listed = images.each_ref().map(|image| {
            let mut descriptor = descriptor(IMAGE, &image.manifest);
            descriptor["platform"] = image.platform.clone();
            descriptor
        });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": listed,
            "annotations": {"org.opencontainers.image.revision": text},
        });
        Self { manifest: manifest.to_string().into_bytes(), images: images.to_vec() }
    }

    pub(crate) fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// Bytes of the index and of every image it lists.
    pub(crate) fn total_size(&self) -> usize {
        self.manifest.len() + self.images.iter().map(Image::total_size).sum::<usize>()
    }

    /// An OCI layout on disk, as skopeo names it: `oci:<directory>:<tag>`.
    pub(crate) fn layout(&self, work: &Workdir, name: &str) -> String {
        layout(work, name, INDEX, &self.manifest, &self.images)
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}

fn layout(work: &Workdir, name: &str, kind: &str, top: &[u8], images: &[Image]) -> String {
    let directory: PathBuf = work.directory(name);
    let blobs = work.directory(&format!("{name}/blobs/sha256"));
    let put = |bytes: &[u8]| {
        fs::write(blobs.join(sha256(bytes).trim_start_matches("sha256:")), bytes).unwrap();
    };
    put(top);
    for image in images {
        put(&image.manifest);
        put(&image.config);
        put(&image.layer);
    }
    let mut entry = descriptor(kind, top);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    format!("oci:{}:1", directory.display())
}

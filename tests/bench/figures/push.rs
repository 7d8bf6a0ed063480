use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use serde_json::json;

use crate::client::Tls;
use crate::figure::Better;
use crate::figure::Figure;
use crate::figure::Target;
use crate::lineup::Column;
use crate::lineup::Contender;
use crate::lineup::Scene;
use crate::lineup::Stage;
use crate::lineup::medians;
use crate::lineup::rounds;
use crate::options::Options;
use crate::process::Process;
use crate::registry::Blob;
use crate::registry::MANIFEST;
use crate::registry::Registry;

const LAYERS: usize = 4;

/// A push as it happens: a real client, a real registry, and an image of four layers.
pub(crate) async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Figure>> {
    let directory = stage.directory.join("push");
    let image = write_image(&directory.join("image"), options.sizes.layer)?;
    let registry = Registry::start(stage, &directory, None).await?;
    let mut contenders =
        stage.line_up(Scene { name: "push", upstream: registry.port, ..Scene::default() }).await?;
    let bytes = LAYERS * options.sizes.layer;
    let samples = rounds(stage, "push", &mut contenders, options.rounds, 2, async |contender| {
        registry.empty()?;
        one(stage, contender, &image, bytes).await
    });
    let each = options.sizes.layer >> 20;
    let name = format!("push by skopeo, {LAYERS} × {each} MiB");
    let columns = vec![
        Column {
            name: format!("{name}: CPU s/GiB"),
            better: Better::Less,
            digits: 3,
            goal: Target::TimesBest(0.5),
        },
        Column {
            name: format!("{name}: wall s"),
            better: Better::Less,
            digits: 3,
            goal: Target::TimesDirect(1.04),
        },
    ];
    Ok(medians(&samples.await, columns))
}

async fn one(stage: &Stage, contender: &Contender, image: &Path, bytes: usize) -> Result<Vec<f64>> {
    let mut skopeo = Command::new("skopeo");
    // Layers that are no archives would be compressed on the way, which is the client's work.
    skopeo.args(["copy", "--quiet", "--insecure-policy", "--preserve-digests"]);
    match contender.target.tls {
        Tls::Yes => skopeo.arg("--dest-cert-dir").arg(&stage.pki.trust),
        Tls::No => skopeo.arg("--dest-tls-verify=false"),
    };
    skopeo.arg(format!("oci:{}:bench", image.display()));
    skopeo.arg(format!("docker://localhost:{}/bench/app:bench", contender.target.port));
    let before = contender.cpu()?;
    let started = Instant::now();
    let mut skopeo = Process::start(&mut skopeo, &image.with_extension("log"))?;
    let status = skopeo.finish().await?;
    let wall = started.elapsed().as_secs_f64();
    ensure!(status.success(), "skopeo: {status}:{}", skopeo.last_words());
    let cpu = contender.spent_since(before.as_ref())?;
    let gib = f64::from(u32::try_from(bytes >> 20)?) / 1024.0;
    Ok(vec![cpu / gib, wall])
}

/// An image in an OCI layout, with the tag `bench`.
fn write_image(directory: &Path, layer: usize) -> Result<PathBuf> {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layers: Vec<Blob> = (0..LAYERS).map(|_| Blob::random(layer)).collect();
    let config = Blob::config(&layers);
    let manifest = Blob::manifest(&config, &layers, "bench");
    for blob in layers.iter().chain([&config, &manifest]) {
        fs::write(blobs.join(blob.digest.trim_start_matches("sha256:")), &blob.bytes)?;
    }
    let mut descriptor = manifest.descriptor(MANIFEST);
    if let Some(descriptor) = descriptor.as_object_mut() {
        let name = json!({ "org.opencontainers.image.ref.name": "bench" });
        descriptor.insert("annotations".to_owned(), name);
    }
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    fs::write(directory.join("index.json"), index.to_string())?;
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(directory.to_owned())
}

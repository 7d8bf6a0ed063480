//! Every client works through the sidecar exactly as it does directly.

use std::fs;

use crate::support::Buildah;
use crate::support::Docker;
use crate::support::Image;
use crate::support::Index;
use crate::support::Podman;
use crate::support::Skopeo;
use crate::support::Stage;
use crate::support::command;
use crate::support::until;
use crate::support::with_mounts;

#[test]
fn skopeo_pushes_and_pulls_every_platform_unchanged() {
    let stage = Stage::open();
    let index = Index::new(&stage.work, "skopeo");
    let layout = index.layout(&stage.work, "pushed");
    let trust = stage.sidecar.cert_dir(&stage.work);
    let name = format!("{}/team/app:1.0", stage.sidecar.host());
    Skopeo::push(&trust, &layout, &name, &["--all"]).ok();

    let direct = stage.direct().manifest("team/app", "1.0");
    assert_eq!(direct.body, index.manifest, "the registry has the very bytes");

    let pulled = stage.work.join("pulled");
    Skopeo::pull(&trust, &name, &pulled).ok();
    let blobs = fs::read_dir(stage.work.join("pushed/blobs/sha256")).unwrap();
    let mut compared = 0;
    for blob in blobs {
        let blob = blob.unwrap();
        let twin = pulled.join("blobs/sha256").join(blob.file_name());
        assert_eq!(fs::read(blob.path()).unwrap(), fs::read(twin).unwrap());
        compared += 1;
    }
    assert_eq!(compared, 10, "an index, three manifests, three configs, three layers");
}

#[test]
fn skopeo_does_not_trust_us_without_our_ca() {
    let stage = Stage::open();
    let layout = Image::new(&stage.work, "untrusted").layout(&stage.work, "pushed");
    let nothing = stage.work.directory("no-trust");
    let name = format!("{}/team/app:1.0", stage.sidecar.host());
    let done = Skopeo::push(&nothing, &layout, &name, &[]);
    assert_ne!(done.code, 0);
    assert!(done.err.contains("x509"), "{}", done.err);
    assert!(stage.receiver.requests().is_empty());
}

#[test]
fn buildah_builds_and_pushes_and_podman_pulls_it() {
    let stage = Stage::open();
    let trust = stage.sidecar.cert_dir(&stage.work);
    let trust = format!("--cert-dir={}", trust.display());
    let file = stage.work.write("greeting", "built here");
    let buildah = Buildah::new(&stage.work);
    let container = buildah.run(&["from", "scratch"]);
    buildah.run(&["copy", &container, file.to_str().unwrap(), "/greeting"]);
    let id = buildah.run(&["commit", "--quiet", &container, "localhost/app:1"]);
    let name = format!("{}/team/built:1.0", stage.sidecar.host());
    buildah.run(&["push", &trust, "localhost/app:1", &format!("docker://{name}")]);

    let podman = Podman::new(&stage.work);
    let pulled = podman.run(&["pull", "--quiet", &trust, &name]);
    assert_eq!(pulled.trim(), id, "the same image");

    let event = stage.receiver.wait_for(1)[0].json();
    assert_eq!(event["subject"], "team/built:1.0");
    let direct = stage.direct().manifest("team/built", "1.0");
    assert_eq!(event["data"]["digest"], direct.header("docker-content-digest").unwrap());
}

#[test]
fn podman_pushes_and_pulls() {
    let stage = Stage::open();
    let trust = stage.sidecar.cert_dir(&stage.work);
    let trust = format!("--cert-dir={}", trust.display());
    let image = Image::new(&stage.work, "podman");
    let podman = Podman::new(&stage.work);
    let tar = stage.work.write("rootfs.tar.gz", &image.layer);
    let loaded = podman.run(&["import", "--quiet", tar.to_str().unwrap(), "localhost/app:1"]);
    let name = format!("{}/team/podman:1.0", stage.sidecar.host());
    podman.run(&["push", "--quiet", &trust, loaded.trim(), &name]);
    podman.run(&["rmi", "--all", "--force"]);
    let pulled = podman.run(&["pull", "--quiet", &trust, &name]);
    assert_eq!(pulled.trim(), loaded.trim().trim_start_matches("sha256:"), "the same image");

    let event = stage.receiver.wait_for(1)[0].json();
    assert_eq!(event["subject"], "team/podman:1.0");
    let agent = event["data"]["request"]["user_agent"].as_str().unwrap();
    assert!(agent.contains("containers/"), "{agent}");
}

#[test]
fn what_certs_trust_prints_is_all_that_skopeo_and_podman_need() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "trusted");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let host = stage.sidecar.address("registry").to_string();
    let config = stage.work.join("pushbell.yaml");
    let words = ["certs", "trust", "--listen", &host, "--config", config.to_str().unwrap()];
    let printed = command(&stage.work, &words).ok().out;
    let section = printed.split("\n\n").find(|part| part.starts_with("# podman, ")).unwrap();
    let (etc, store) = (stage.work.directory("etc"), stage.work.directory("store"));
    let script = format!(
        "cp -r /etc/containers/. {etc}; mount --bind {etc} /etc/containers\n\
         skopeo='skopeo inspect --raw docker://{host}/team/app:1.0'\n\
         podman='podman --storage-driver vfs --root {store}/root --runroot {store}/run --cgroup-manager cgroupfs \
         --events-backend none pull --quiet {host}/team/app:1.0'\n\
         if $skopeo || $podman; then echo trusted before; exit 9; fi\n\
         {section}\n$skopeo; $podman\n",
        etc = etc.display(),
        store = store.display(),
    );
    let done = with_mounts(&script).ok();
    assert!(done.err.contains("x509"), "who has not followed it does not trust us: {done:?}");
    assert!(done.out.contains(&String::from_utf8(image.manifest).unwrap()), "{done:?}");
}

/// Docker takes every loopback address for an insecure registry: it speaks TLS with us but checks no
/// certificate, so this proves the exchange and not the trust.
#[test]
fn docker_pushes_and_pulls() {
    let stage = Stage::open();
    let docker = Docker::start(&stage.work);
    let image = Image::new(&stage.work, "docker");
    let tar = stage.work.write("rootfs.tar.gz", &image.layer);
    let name = format!("{}/team/docker:1.0", stage.sidecar.host());
    docker.run(&["import", tar.to_str().unwrap(), &name]);
    let id = docker.run(&["image", "inspect", "--format", "{{.Id}}", &name]);
    docker.run(&["push", &name]);
    docker.run(&["rmi", "--force", &name]);
    docker.run(&["pull", &name]);
    assert_eq!(docker.run(&["image", "inspect", "--format", "{{.Id}}", &name]), id);

    let event = stage.receiver.wait_for(1)[0].json();
    assert_eq!(event["subject"], "team/docker:1.0");
    assert_eq!(event["data"]["media_type"], "application/vnd.docker.distribution.manifest.v2+json");
    let direct = stage.direct().manifest("team/docker", "1.0");
    assert_eq!(event["data"]["digest"], direct.header("docker-content-digest").unwrap());
}

#[test]
fn one_copy_of_an_image_for_three_platforms_is_one_webhook() {
    let stage = Stage::open();
    let index = Index::new(&stage.work, "one webhook");
    let layout = index.layout(&stage.work, "pushed");
    let trust = stage.sidecar.cert_dir(&stage.work);
    for tag in ["1.0", "fence"] {
        let name = format!("{}/team/app:{tag}", stage.sidecar.host());
        Skopeo::push(&trust, &layout, &name, &["--all"]).ok();
    }
    // The fence was pushed last; whatever the first copy had to tell was told before or with it.
    let requests = until("the fence", || {
        let requests = stage.receiver.requests();
        let fence = requests.iter().any(|request| request.json()["data"]["tag"] == "fence");
        fence.then_some(requests)
    });
    let first: Vec<_> = requests.iter().filter(|r| r.json()["data"]["tag"] != "fence").collect();
    assert_eq!(first.len(), 1, "{first:?}");
    let data = &first[0].json()["data"];
    assert_eq!(data["kind"], "index");
    assert_eq!(data["digest"], index.digest());
    let platforms = data["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 3);
    for (platform, image) in platforms.iter().zip(&index.images) {
        assert_eq!(platform["os"], "linux");
        assert_eq!(platform["digest"], image.digest());
    }
    assert_eq!(platforms[1]["architecture"], "arm64");
    assert_eq!(platforms[1]["variant"], "v8");
    assert_eq!(data["total_size"], index.total_size());
}

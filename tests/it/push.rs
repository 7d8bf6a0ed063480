//! Pushes and pulls pass unchanged, of every size and over every protocol.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use aws_lc_rs::digest;
use rustls::ProtocolVersion;

use crate::support::Curl;
use crate::support::Image;
use crate::support::Raw;
use crate::support::Reply;
use crate::support::Stage;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn every_answer_is_the_one_the_registry_gives_directly() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "same answers");
    for (protocol, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let through = stage.curl().with(&[protocol]);
        let pushed = through.push("team/app", "1.0", &image);
        assert_eq!((pushed.status, pushed.version.as_str()), (201, version));
        assert_eq!(pushed.header("docker-content-digest"), Some(image.digest().as_str()));

        let manifest = format!("/v2/team/app/manifests/{}", image.digest());
        let blob = format!("/v2/team/app/blobs/{}", crate::support::sha256(&image.layer));
        for (path, options) in [
            ("/v2/", &[][..]),
            ("/v2/_catalog", &[]),
            ("/v2/team/app/tags/list", &[]),
            ("/v2/team/app/manifests/1.0", &[]),
            ("/v2/team/app/manifests/1.0", &["--head"]),
            (&manifest, &[]),
            (&blob, &[]),
            (&blob, &["--head"]),
            (&blob, &["--range", "2-5"]),
            ("/v2/team/app/manifests/absent", &[]),
            ("/v2/team/app/blobs/sha256:nonsense", &[]),
            ("/v2/Not/A/Name/tags/list", &[]),
            ("/elsewhere", &[]),
        ] {
            let accept = ["--header", "Accept: application/vnd.oci.image.manifest.v1+json"];
            let options = [options, &accept[..]].concat();
            let expected = stage.direct().call(path, &options);
            let seen = through.call(path, &options);
            assert_eq!(seen.version, version, "{path}");
            assert_eq!(seen.status, expected.status, "{path}");
            // With `--head` curl takes the head for the body, in the letters of its protocol.
            if !options.contains(&"--head") {
                assert_eq!(seen.body, expected.body, "{path}");
            }
            assert_eq!(shape(&seen), shape(&expected), "{path}");
        }
    }
}

/// The headers that are the registry's own word: not those of one hop, and not the clock's.
fn shape(reply: &Reply) -> Vec<(String, String)> {
    let hop = ["date", "connection", "keep-alive", "transfer-encoding"];
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| !hop.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    headers
}

/// An answer that does not wait for the body must not be lost with it, whatever is faster.
#[test]
fn a_push_refused_before_its_end_has_an_answer() {
    let stage = Stage::open();
    for protocol in ["--http1.1", "--http2"] {
        let curl = stage.curl().with(&[protocol]);
        for size in [2, 2 << 10, 200 << 10] {
            for _ in 0..8 {
                let refused = curl.put("team%2Fapp", "1.0", IMAGE, &vec![b'x'; size]);
                assert_eq!(refused.status, 400, "{protocol}, {size} bytes: {refused:?}");
            }
        }
    }
}

#[test]
fn tls_1_2_and_1_3_carry_http_1_and_2() {
    let stage = Stage::open();
    for (version, name) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for protocol in [&b"h2"[..], b"http/1.1"] {
            let raw = Raw::speaking(&stage.sidecar, &[version], &[protocol]);
            assert_eq!(raw.version(), Some(name));
            assert_eq!(raw.alpn(), Some(protocol));
        }
    }
    let both = Raw::speaking(&stage.sidecar, rustls::DEFAULT_VERSIONS, &[b"http/1.1", b"h2"]);
    assert_eq!(both.alpn(), Some(&b"h2"[..]), "the better one, whatever comes first");
}

#[test]
fn a_location_is_usable_as_it_is_given() {
    let stage = Stage::open();
    let curl = stage.curl();
    let location = curl.blob("team/app", b"first");
    let ours = location.starts_with('/') || location.starts_with(&stage.sidecar.url("/v2/"));
    assert!(ours, "{location}");

    // In pieces: each answer's location is where the next piece goes.
    let begun = curl.call("/v2/team/app/blobs/uploads/", &["--request", "POST"]);
    let kind = ["--header", "Content-Type: application/octet-stream", "--request", "PATCH"];
    let mut location = begun.header("location").unwrap().to_owned();
    for (piece, range) in [("sec", "0-2"), ("ond", "0-5")] {
        let patched = curl.call(&location, &[&kind[..], &["--data", piece]].concat());
        assert_eq!((patched.status, patched.header("range")), (202, Some(range)));
        location = patched.header("location").unwrap().to_owned();
    }
    let digest = crate::support::sha256(b"second");
    let done = curl.call(&format!("{location}&digest={digest}"), &["--request", "PUT"]);
    assert_eq!(done.status, 201, "{done:?}");
    let stored = curl.get(done.header("location").unwrap());
    assert_eq!(stored.body, b"second");
}

#[test]
fn a_blob_larger_than_memory_passes_through() {
    const MIB: usize = 1 << 20;
    const BLOB: usize = 256;
    const ALLOWED: u64 = 32 << 20;

    let stage = Stage::open();
    let path = stage.work.join("large");
    let mut file = File::create(&path).unwrap();
    let mut context = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; MIB];
    fastrand::Rng::with_seed(7).fill(&mut piece);
    for round in 0..BLOB {
        piece[0] = round.to_le_bytes()[0];
        file.write_all(&piece).unwrap();
        context.update(&piece);
    }
    let hex: String = context.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let digest = format!("sha256:{hex}");

    for (protocol, repository) in [("--http1.1", "large/one"), ("--http2", "large/two")] {
        let curl = stage.curl().with(&[protocol]);
        assert_eq!(curl.get("/v2/").status, 200);
        let (before, _) = stage.sidecar.memory();
        curl.blob_file(repository, &path, &digest);
        let stored = curl.call(&format!("/v2/{repository}/blobs/{digest}"), &["--head"]);
        assert_eq!(stored.header("content-length"), Some(&*(BLOB * MIB).to_string()));
        let (_, peak) = stage.sidecar.memory();
        let grown = peak.saturating_sub(before);
        assert!(grown < ALLOWED, "{protocol}: the upload took {} MiB", grown >> 20);

        let down = stage.work.join("down");
        let to = ["--output", down.to_str().unwrap()];
        let pulled = curl.call(&format!("/v2/{repository}/blobs/{digest}"), &to);
        assert_eq!(pulled.status, 200);
        let (_, peak) = stage.sidecar.memory();
        let grown = peak.saturating_sub(before);
        assert!(grown < ALLOWED, "{protocol}: the download took {} MiB", grown >> 20);
    }
}

#[test]
fn a_manifest_cut_short_does_not_reach_the_registry_as_whole() {
    let stage = Stage::open();
    let image = Image::new(&stage.work, "cut short");
    let curl = stage.curl();
    curl.blob("team/app", &image.config);
    curl.blob("team/app", &image.layer);
    let mut raw = Raw::connect(&stage.sidecar);
    raw.send(format!(
        "PUT /v2/team/app/manifests/cut HTTP/1.1\r\nHost: {}\r\nContent-Type: {IMAGE}\r\n\
         Content-Length: {}\r\n\r\n",
        stage.sidecar.host(),
        image.manifest.len()
    ));
    raw.send(&image.manifest[..image.manifest.len() / 2]);
    drop(raw);

    assert_eq!(curl.put("team/app", "whole", IMAGE, &image.manifest).status, 201);
    let requests = stage.receiver.wait_for(1);
    assert_eq!(requests[0].json()["data"]["tag"], "whole");
    assert_eq!(stage.direct().manifest("team/app", "cut").status, 404);
    assert_eq!(stage.receiver.requests().len(), 1);
}

#[test]
fn without_an_upstream_the_answer_is_502_and_the_next_request_works() {
    let mut stage = Stage::open();
    let image = Image::new(&stage.work, "no upstream");
    let curl = stage.curl();
    curl.blob("team/app", &image.config);
    curl.blob("team/app", &image.layer);
    stage.registry.stop();
    let asked = Instant::now();
    for reply in [
        curl.get("/v2/"),
        curl.with(&["--http1.1"]).get("/v2/team/app/tags/list"),
        stage.curl().put("team/app", "1.0", IMAGE, &image.manifest),
    ] {
        assert_eq!(reply.status, 502, "{reply:?}");
        let error = &reply.json()["errors"][0];
        assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    }
    assert!(asked.elapsed() < Duration::from_secs(15), "each within the connect deadline");

    stage.registry.again();
    let curl = stage.curl();
    assert_eq!(curl.get("/v2/").status, 200);
    assert_eq!(curl.put("team/app", "1.0", IMAGE, &image.manifest).status, 201);
    assert_eq!(stage.receiver.wait_for(1)[0].json()["data"]["tag"], "1.0");
}

#[test]
fn many_pushes_at_once_each_become_one_webhook() {
    const CLIENTS: usize = 8;
    const PUSHES: usize = 5;

    let stage = Stage::open();
    let image = Image::new(&stage.work, "many");
    assert_eq!(stage.curl().push("team/app", "first", &image).status, 201);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let curl: Curl = stage.curl();
            let manifest = &image.manifest;
            scope.spawn(move || {
                for push in 0..PUSHES {
                    let tag = format!("{client}.{push}");
                    assert_eq!(curl.put("team/app", &tag, IMAGE, manifest).status, 201);
                }
            });
        }
    });
    let requests = stage.receiver.wait_for(CLIENTS * PUSHES + 1);
    let mut tags: Vec<_> = requests.iter().map(|r| r.json()["data"]["tag"].to_string()).collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), CLIENTS * PUSHES + 1);
    assert_eq!(requests.len(), CLIENTS * PUSHES + 1);
}

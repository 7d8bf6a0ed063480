//! The ground of the OCI distribution specification, as one script of requests that any registry can be
//! asked, and that goes the same way each time.

use http::Method;
use serde_json::Value;
use serde_json::json;

use crate::support::Said;
use crate::support::sha256;

use super::run::Part;
use super::run::Run;
use super::run::location;
use super::run::onward;

/// Everything that needs no login.
pub(super) const SCRIPT: &[Part] = &[
    ("version and paths", paths),
    ("blobs in one piece", monolithic),
    ("blobs in chunks", chunked),
    ("blobs in a stream", streamed),
    ("uploads resumed and cancelled", resumed),
    ("blobs that are refused", refused),
    ("mounts", mounts),
    ("manifests", manifests),
    ("manifests that are refused", refused_manifests),
    ("referrers", referrers),
    ("pages", pages),
    ("ranges and conditions", conditions),
    ("deletes", deletes),
    ("large", large),
];

/// What a registry that sends downloads elsewhere is asked.
pub(super) const REDIRECTED: &[Part] = &[("downloads elsewhere", redirected)];

/// What a registry that knows its own name, or gives locations without one, is asked.
pub(super) const LOCATED: &[Part] =
    &[("blobs in chunks", chunked), ("manifests", manifests), ("pages", pages)];

/// What a registry with a login is asked.
pub(super) const LOGIN: &[Part] = &[("logins", logins)];

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// What an image of this repository is made of.
struct Content {
    config: Vec<u8>,
    layer: Vec<u8>,
}

impl Content {
    fn new(text: &str) -> Self {
        let config = json!({"os": "linux", "architecture": "amd64", "author": text,
            "rootfs": {"type": "layers", "diff_ids": []}});
        Self { config: config.to_string().into_bytes(), layer: bytes(text, 300) }
    }

    fn manifest(&self, kind: &str, more: Value) -> Vec<u8> {
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": kind,
            "config": descriptor(CONFIG, &self.config),
            "layers": [descriptor(LAYER, &self.layer)],
        });
        for (key, value) in more.as_object().unwrap() {
            manifest[key] = value.clone();
        }
        manifest.to_string().into_bytes()
    }

    fn push_blobs(&self, run: &mut Run, repository: &str) {
        run.blob(repository, &self.config);
        run.blob(repository, &self.layer);
    }
}

fn descriptor(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": sha256(bytes), "size": bytes.len()})
}

/// So many bytes that are the same for the same words.
fn bytes(words: &str, length: usize) -> Vec<u8> {
    let seed = words.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn absent() -> String {
    sha256(b"this is nowhere")
}

fn paths(run: &mut Run) {
    for path in [
        "/v2/",
        "/v2",
        "/",
        "/elsewhere",
        "/v2/?a=b%20c&d",
        "/v2/_catalog",
        "/v2/absent/tags/list",
        "/v2/Not/A/Name/tags/list",
        "/v2/a/b/manifests/absent",
        "/v2/a/b/manifests/%61bsent",
        "/v2/a/b/blobs/sha256:nonsense",
        "/v2/a/b/blobs/nonsense",
        "/v2/a/b/unknown/x",
        "/v2//a/b/tags/list",
        "/v2/a/../b/tags/list",
        "/v2/a%2Fb/tags/list",
        "/v2/a/b/tags/list/",
        "/v2/a/manifests/tags/list",
        "/v1/",
    ] {
        run.get(path);
        run.head(path);
    }
    let blob = format!("/v2/a/b/blobs/{}", absent());
    run.get(&blob);
    run.head(&blob);
    for (method, path) in [
        (Method::OPTIONS, "/v2/"),
        (Method::OPTIONS, "/v2/a/manifests/b"),
        (Method::POST, "/v2"),
        (Method::DELETE, "/v2"),
        (Method::POST, "/v2/_catalog"),
        (Method::POST, "/v2/a/manifests/b"),
        (Method::PATCH, "/v2/a/manifests/b"),
        (Method::POST, "/v2/a/tags/list"),
        (Method::PUT, "/elsewhere"),
        (Method::GET, "/v2/a/blobs/uploads/"),
        (Method::DELETE, "/v2/a/blobs/uploads/"),
        (Method::PUT, "/v2/a/blobs/uploads/"),
        (Method::PUT, "/v2/Not/A/Name/manifests/x"),
        (Method::PUT, "/v2/a/manifests/-bad-tag"),
    ] {
        run.ask(method, path, &[], Said::nothing());
    }
    run.ask(Method::GET, "/v2/", &[("Accept-Encoding", "gzip"), ("X-Own", "1")], Said::nothing());
}

fn monolithic(run: &mut Run) {
    const REPOSITORY: &str = "mono/lithic";
    for (name, length) in [("empty", 0), ("one", 1), ("small", 500), ("medium", 70_000)] {
        let blob = bytes(name, length);
        let digest = run.blob(REPOSITORY, &blob);
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        run.head(&path);
        assert_eq!(run.get(&path).body, blob);
        // The same once more: it is there already.
        run.blob(REPOSITORY, &blob);
    }
    // All of it in the POST, which a registry may do without.
    let blob = bytes("in the post", 2000);
    let digest = sha256(&blob);
    for to in [REPOSITORY, "mono/second"] {
        let post = format!("/v2/{to}/blobs/uploads/?digest={digest}");
        let kind = [("Content-Type", "application/octet-stream")];
        let heard = run.ask(Method::POST, &post, &kind, Said::whole(blob.clone()));
        if heard.status == 202 {
            run.finish(&location(&heard), &digest, Said::whole(blob.clone()));
        }
        run.get(&format!("/v2/{to}/blobs/{digest}"));
    }
    // Other digests, other letters, and a media type that nobody asked for.
    let at = run.begin(REPOSITORY);
    let sha512 = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                  47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
    run.finish(&at, sha512, Said::nothing());
    run.head(&format!("/v2/{REPOSITORY}/blobs/{sha512}"));
    let at = run.begin(REPOSITORY);
    let escaped = sha256(b"escaped").replace(':', "%3A");
    run.finish(&at, &escaped, Said::whole("escaped"));
    run.get(&format!("/v2/{REPOSITORY}/blobs/{escaped}"));
    let at = run.begin(REPOSITORY);
    let to = format!("{at}&digest={}", sha256(b"text"));
    run.ask(Method::PUT, &to, &[("Content-Type", "text/plain; charset=x")], Said::whole("text"));
}

fn chunked(run: &mut Run) {
    const REPOSITORY: &str = "in/chunks";
    let blob = bytes("chunks", 3000);
    let digest = sha256(&blob);
    // The last chunk with the PUT, or nothing with it.
    for last in [2000, 3000] {
        let mut at = run.begin(REPOSITORY);
        for (from, to) in [(0, 1000), (1000, 2000), (2000, 3000)] {
            if to <= last {
                let range = format!("{from}-{}", to - 1);
                let heard = run.patch(&at, Some(&range), Said::whole(blob[from..to].to_vec()));
                at = onward(&heard, &at);
                run.get(&at);
            }
        }
        run.finish(&at, &digest, Said::whole(blob[last..].to_vec()));
        assert_eq!(run.get(&format!("/v2/{REPOSITORY}/blobs/{digest}")).body, blob);
    }
    // Out of order, twice the same, with a gap, and ranges that are none.
    let at = run.begin(REPOSITORY);
    let piece = || Said::whole(blob[..1000].to_vec());
    run.patch(&at, Some("1000-1999"), piece());
    let at = onward(&run.patch(&at, Some("0-999"), piece()), &at);
    run.patch(&at, Some("0-999"), piece());
    run.patch(&at, Some("2000-2999"), piece());
    for range in
        ["999", "x-y", "1000-1", "", "bytes 1000-1999/3000", "-1-5", "1000-1999999999999999999999"]
    {
        run.patch(&at, Some(range), piece());
    }
    run.get(&at);
    let at =
        onward(&run.patch(&at, Some("1000-1999"), Said::whole(blob[1000..2000].to_vec())), &at);
    run.finish(&at, &digest, Said::whole(blob[2000..].to_vec()));
    run.head(&format!("/v2/{REPOSITORY}/blobs/{digest}"));
}

fn streamed(run: &mut Run) {
    const REPOSITORY: &str = "in/streams";
    for (name, length, piece) in
        [("empty", 0, 1), ("byte by byte", 40, 1), ("pieces", 100_000, 7777), ("one", 5000, 5000)]
    {
        let blob = bytes(name, length);
        let digest = sha256(&blob);
        let at = run.begin(REPOSITORY);
        let heard = run.patch(&at, None, Said::streamed(blob.clone(), piece));
        run.finish(&onward(&heard, &at), &digest, Said::nothing());
        assert_eq!(run.get(&format!("/v2/{REPOSITORY}/blobs/{digest}")).body, blob);
        // And in the PUT itself.
        let at = run.begin("in/puts");
        run.finish(&at, &digest, Said::streamed(blob.clone(), piece));
        run.head(&format!("/v2/in/puts/blobs/{digest}"));
    }
    let blob = bytes("two streams", 9000);
    let at = run.begin(REPOSITORY);
    let at = onward(&run.patch(&at, None, Said::streamed(blob[..4000].to_vec(), 999)), &at);
    run.get(&at);
    let at = onward(&run.patch(&at, None, Said::streamed(blob[4000..].to_vec(), 999)), &at);
    run.finish(&at, &sha256(&blob), Said::streamed("", 1));
}

fn resumed(run: &mut Run) {
    const REPOSITORY: &str = "re/sumed";
    let blob = bytes("resumed", 2000);
    let begun = run.begin(REPOSITORY);
    let at = onward(&run.patch(&begun, Some("0-999"), Said::whole(blob[..1000].to_vec())), &begun);
    run.patch(&at, Some("500-1499"), Said::whole(blob[500..1500].to_vec()));
    // Where are we? The answer says how far, and where to go on.
    let at = onward(&run.get(&at), &at);
    run.head(&at);
    let rest = Said::whole(blob[1000..].to_vec());
    let at = onward(&run.patch(&at, Some("1000-1999"), rest), &at);
    // A location of before has a state of before.
    run.get(&begun);
    run.finish(&at, &sha256(&blob), Said::nothing());
    run.finish(&at, &sha256(&blob), Said::nothing());
    run.get(&at);
    // Without the state that was signed, and with another one.
    let at = run.begin(REPOSITORY);
    let (bare, _) = at.split_once('?').unwrap();
    run.patch(bare, None, Said::whole("x"));
    run.patch(&format!("{bare}?_state=bm9uc2Vuc2U="), None, Said::whole("x"));
    run.get(bare);
    // Cancelled.
    let at = run.begin(REPOSITORY);
    let at = onward(&run.patch(&at, None, Said::whole("begun")), &at);
    run.delete(&at);
    run.get(&at);
    run.delete(&at);
    run.patch(&at, None, Said::whole("more"));
    run.finish(&at, &sha256(b"begun"), Said::nothing());
    for path in ["/v2/re/sumed/blobs/uploads/unknown", "/v2/re/sumed/blobs/uploads/a%2Fb"] {
        run.get(path);
        run.patch(path, None, Said::whole("x"));
        run.delete(path);
    }
}

fn refused(run: &mut Run) {
    const REPOSITORY: &str = "re/fused";
    for digest in [
        absent().as_str(),
        "sha256:short",
        "nonsense",
        "",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256%3A",
    ] {
        let at = run.begin(REPOSITORY);
        run.finish(&at, digest, Said::whole("not what it says"));
        run.get(&at);
    }
    let at = run.begin(REPOSITORY);
    run.ask(Method::PUT, &at, &[], Said::whole("without a digest"));
    run.post("/v2/Re/Fused/blobs/uploads/");
    run.post(&format!("/v2/{}/blobs/uploads/", ["a"; 150].join("/")));
    run.ask(Method::POST, "/v2/re/fused/blobs/uploads/?x=1", &[], Said::whole("unasked"));
}

fn mounts(run: &mut Run) {
    let digest = run.blob("mount/from", b"mounted");
    let there = format!("/v2/mount/to/blobs/{digest}");
    run.head(&there);
    run.post(&format!("/v2/mount/to/blobs/uploads/?mount={digest}&from=mount/from"));
    assert_eq!(run.get(&there).body, "mounted");
    run.post(&format!(
        "/v2/mount/to/blobs/uploads/?from=mount%2Ffrom&mount={}",
        digest.replace(':', "%3A")
    ));
    for query in [
        format!("mount={digest}&from=mount/absent"),
        format!("mount={digest}&from=Mount/From"),
        format!("mount={digest}"),
        format!("mount={}&from=mount/from", absent()),
        "mount=nonsense&from=mount/from".to_owned(),
        "mount=&from=".to_owned(),
    ] {
        let heard = run.post(&format!("/v2/mount/third/blobs/uploads/?{query}"));
        if heard.status == 202 {
            run.finish(&location(&heard), &digest, Said::whole("mounted"));
        }
    }
}

fn manifests(run: &mut Run) {
    const REPOSITORY: &str = "mani/fests";
    let content = Content::new("manifests");
    content.push_blobs(run, REPOSITORY);
    let path = |reference: &str| format!("/v2/{REPOSITORY}/manifests/{reference}");
    let image = content.manifest(IMAGE, json!({}));
    let docker = content.manifest(DOCKER, json!({}));
    run.manifest(&path("oci"), IMAGE, &image);
    run.manifest(&path("oci"), IMAGE, &image);
    run.manifest(&path("docker"), DOCKER, &docker);
    run.manifest(&path(&sha256(&image)), IMAGE, &image);
    run.manifest(&path(&sha256(&image).replace(':', "%3A")), IMAGE, &image);
    run.manifest(&path("%6fci"), IMAGE, &image);
    run.manifest(&path("with-parameters"), &format!("{IMAGE}; charset=utf-8"), &image);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [descriptor(IMAGE, &image), descriptor(DOCKER, &docker)]});
    let index = index.to_string().into_bytes();
    run.manifest(&path("index"), INDEX, &index);
    let list = json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [descriptor(DOCKER, &docker)]});
    run.manifest(&path("list"), DOCKER_LIST, list.to_string().as_bytes());
    let body = Said::streamed(image.clone(), 50);
    run.ask(Method::PUT, &path("streamed"), &[("Content-Type", IMAGE)], body);
    // Tags in the query: most registries overlook them.
    let moved = content.manifest(IMAGE, json!({"annotations": {"a": "b"}}));
    run.manifest(&path(&format!("{}?tag=one&tag=two", sha256(&moved))), IMAGE, &moved);
    run.manifest(&path("three?tag=four"), IMAGE, &moved);
    run.get(&path("one"));
    run.manifest(&path("oci"), IMAGE, &moved);
    let all = [IMAGE, INDEX, DOCKER, DOCKER_LIST].join(", ");
    for reference in [
        "oci",
        "docker",
        "index",
        "list",
        "streamed",
        "three",
        "four",
        "absent",
        &sha256(&image),
        &absent(),
    ] {
        let path = path(reference);
        for accept in [all.as_str(), IMAGE, INDEX, DOCKER, "*/*", "text/plain"] {
            run.ask(Method::GET, &path, &[("Accept", accept)], Said::nothing());
        }
        run.ask(Method::HEAD, &path, &[("Accept", &all)], Said::nothing());
        run.get(&path);
        run.head(&path);
    }
    let several = [("Accept", IMAGE), ("Accept", INDEX), ("Accept", DOCKER)];
    run.ask(Method::GET, &path("oci"), &several, Said::nothing());
    let etag = format!("\"{}\"", sha256(&moved));
    for (name, value) in [
        ("If-None-Match", etag.as_str()),
        ("If-None-Match", "W/\"x\", \"y\""),
        ("If-Match", "\"x\""),
        ("If-Modified-Since", "Thu, 01 Jan 2037 00:00:00 GMT"),
        ("Range", "bytes=0-9"),
    ] {
        let headers = [("Accept", all.as_str()), (name, value)];
        run.ask(Method::GET, &path("oci"), &headers, Said::nothing());
    }
}

fn refused_manifests(run: &mut Run) {
    const REPOSITORY: &str = "bad/manifests";
    let content = Content::new("refused");
    let path = |reference: &str| format!("/v2/{REPOSITORY}/manifests/{reference}");
    let image = content.manifest(IMAGE, json!({}));
    run.manifest(&path("blobs-missing"), IMAGE, &image);
    content.push_blobs(run, REPOSITORY);
    run.manifest(&path(&absent()), IMAGE, &image);
    run.manifest(&path("empty"), IMAGE, b"");
    run.ask(Method::PUT, &path("none"), &[], Said::nothing());
    run.manifest(&path("garbage"), IMAGE, b"{\"schemaVersion\": 2");
    run.manifest(&path("text"), "text/plain", b"text");
    run.ask(Method::PUT, &path("untyped"), &[], Said::whole(image.clone()));
    run.manifest(&path("mistyped"), INDEX, &image);
    run.manifest(&path("unlike"), DOCKER, &image);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": IMAGE, "digest": absent(), "size": 3}]});
    run.manifest(&path("child-missing"), INDEX, index.to_string().as_bytes());
    run.manifest(&path(&"t".repeat(129)), IMAGE, &image);
    run.manifest("/v2/Bad/Manifests/manifests/x", IMAGE, &image);
    // A registry has its own idea of how large is too large.
    let filled = |length: usize| {
        let bare = content.manifest(IMAGE, json!({"annotations": {"a": ""}})).len();
        content.manifest(IMAGE, json!({"annotations": {"a": "x".repeat(length - bare)}}))
    };
    run.manifest(&path("large"), IMAGE, &filled((4 << 20) - 1));
    run.ask(Method::GET, &path("large"), &[("Accept", IMAGE)], Said::nothing());
    run.manifest(&path("limit"), IMAGE, &filled(4 << 20));
    run.manifest(&path("too-large"), IMAGE, &filled((4 << 20) + 1));
    run.get(&path("too-large"));
}

fn referrers(run: &mut Run) {
    const REPOSITORY: &str = "re/ferrers";
    let content = Content::new("referrers");
    content.push_blobs(run, REPOSITORY);
    run.blob(REPOSITORY, b"{}");
    let path = |reference: &str| format!("/v2/{REPOSITORY}/manifests/{reference}");
    let image = content.manifest(IMAGE, json!({}));
    run.manifest(&path("subject"), IMAGE, &image);
    let artifact = |subject: &Value| {
        let artifact = json!({"schemaVersion": 2, "mediaType": IMAGE,
            "artifactType": "application/vnd.example.sbom", "subject": subject,
            "config": descriptor(EMPTY, b"{}"), "layers": [descriptor(EMPTY, b"{}")]});
        artifact.to_string().into_bytes()
    };
    let present = artifact(&descriptor(IMAGE, &image));
    run.manifest(&path(&sha256(&present)), IMAGE, &present);
    let missing = artifact(&json!({"mediaType": IMAGE, "digest": absent(), "size": 5}));
    run.manifest(&path(&sha256(&missing)), IMAGE, &missing);
    // What a client does where there is no such page.
    let mut entry = descriptor(IMAGE, &present);
    entry["artifactType"] = "application/vnd.example.sbom".into();
    let fallback = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let tag = sha256(&image).replace(':', "-");
    run.manifest(&path(&tag), INDEX, fallback.to_string().as_bytes());
    for suffix in ["", ".sig", ".att", ".sbom"] {
        run.ask(
            Method::GET,
            &path(&format!("{tag}{suffix}")),
            &[("Accept", INDEX)],
            Said::nothing(),
        );
    }
    for digest in [sha256(&image).as_str(), &absent(), "nonsense"] {
        for query in ["", "?artifactType=application%2Fvnd.example.sbom", "?n=1&last=x"] {
            run.get(&format!("/v2/{REPOSITORY}/referrers/{digest}{query}"));
        }
        run.head(&format!("/v2/{REPOSITORY}/referrers/{digest}"));
    }
}

fn pages(run: &mut Run) {
    const REPOSITORY: &str = "pa/ges";
    let content = Content::new("pages");
    content.push_blobs(run, REPOSITORY);
    let image = content.manifest(IMAGE, json!({}));
    for tag in ["a", "b", "c", "d.1", "E_2", "0"] {
        run.manifest(&format!("/v2/{REPOSITORY}/manifests/{tag}"), IMAGE, &image);
    }
    let list = format!("/v2/{REPOSITORY}/tags/list");
    for query in [
        "",
        "?n=2",
        "?n=2&last=b",
        "?last=c",
        "?n=100",
        "?n=0",
        "?n=-1",
        "?n=x",
        "?n=1&last=zz",
        "?n=2&last=%62",
        "?n=2&n=3",
        "?last=",
        "?n=99999999999999999999",
        "?ns=docker.io",
    ] {
        run.get(&format!("{list}{query}"));
        run.head(&format!("{list}{query}"));
    }
    for query in ["", "?n=1", "?n=1&last=in/chunks", "?n=2&last=zz", "?n=x"] {
        run.get(&format!("/v2/_catalog{query}"));
    }
    // From page to page by the links alone.
    for first in [format!("{list}?n=1"), "/v2/_catalog?n=1".to_owned()] {
        let page_of_catalog = first.contains("_catalog");
        let mut next = Some(first);
        let mut steps = 0;
        while let Some(page) = next {
            let heard = run.get(&page);
            next = heard.header("link").map(|link| {
                let (target, _) = link.trim_start_matches('<').split_once('>').unwrap();
                target.to_owned()
            });
            steps += 1;
            assert!(steps < 40, "pages without end");
        }
        // Not every registry has pages of tags.
        assert!(steps > 1 || !page_of_catalog, "no second page");
    }
}

/// Not several ranges at once: the registry's own answer to that breaks off now and then.
fn conditions(run: &mut Run) {
    const REPOSITORY: &str = "con/ditions";
    let blob = bytes("conditions", 1000);
    let digest = run.blob(REPOSITORY, &blob);
    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
    let etag = format!("\"{digest}\"");
    for (name, value) in [
        ("Range", "bytes=2-5"),
        ("Range", "bytes=990-"),
        ("Range", "bytes=-7"),
        ("Range", "bytes=0-0"),
        ("Range", "bytes=0-9999"),
        ("Range", "bytes=1000-"),
        ("Range", "bytes=5-2"),
        ("Range", "items=0-1"),
        ("Range", "bytes=x"),
        ("If-None-Match", &etag),
        ("If-None-Match", "*"),
        ("If-None-Match", "\"other\""),
        ("If-Match", &etag),
        ("If-Match", "\"other\""),
        ("If-Modified-Since", "Thu, 01 Jan 2037 00:00:00 GMT"),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Accept-Encoding", "gzip, br"),
        ("Accept", "text/plain"),
    ] {
        run.ask(Method::GET, &path, &[(name, value)], Said::nothing());
        run.ask(Method::HEAD, &path, &[(name, value)], Said::nothing());
    }
    for range in ["\"other\"", &etag] {
        let headers = [("Range", "bytes=0-1"), ("If-Range", range)];
        run.ask(Method::GET, &path, &headers, Said::nothing());
    }
}

fn deletes(run: &mut Run) {
    const REPOSITORY: &str = "de/letes";
    let content = Content::new("deletes");
    content.push_blobs(run, REPOSITORY);
    let path = |reference: &str| format!("/v2/{REPOSITORY}/manifests/{reference}");
    let image = content.manifest(IMAGE, json!({}));
    let other = content.manifest(IMAGE, json!({"annotations": {"other": "yes"}}));
    for tag in ["a", "b"] {
        run.manifest(&path(tag), IMAGE, &image);
    }
    run.manifest(&path("c"), IMAGE, &other);
    run.delete(&path("c"));
    run.delete(&path("absent"));
    run.delete(&path(&absent()));
    run.delete(&path("sha256:nonsense"));
    run.delete(&path(&sha256(&image)));
    run.delete(&path(&sha256(&image)));
    run.delete(&path(&sha256(&other).replace(':', "%3a")));
    run.get(&format!("/v2/{REPOSITORY}/tags/list"));
    for reference in ["a", "c", &sha256(&image)] {
        run.get(&path(reference));
        run.head(&path(reference));
    }
    // A tag comes back when its manifest does.
    run.manifest(&path("a"), IMAGE, &image);
    run.get(&path("a"));
    let blob = format!("/v2/{REPOSITORY}/blobs/{}", sha256(&content.layer));
    for _ in 0..2 {
        run.delete(&blob);
        run.head(&blob);
        run.get(&blob);
    }
    run.delete(&format!("/v2/{REPOSITORY}/blobs/nonsense"));
    run.delete(&format!("/v2/{REPOSITORY}/tags/list"));
}

fn large(run: &mut Run) {
    const REPOSITORY: &str = "la/rge";
    let blob = bytes("large", 5 << 20);
    let digest = run.blob(REPOSITORY, &blob);
    assert_eq!(run.get(&format!("/v2/{REPOSITORY}/blobs/{digest}")).body, blob);
    let at = run.begin("la/streamed");
    let at = onward(&run.patch(&at, None, Said::streamed(blob.clone(), 60_000)), &at);
    run.finish(&at, &digest, Said::nothing());
    let headers = [("Range", "bytes=1000000-2000000")];
    run.ask(Method::GET, &format!("/v2/la/streamed/blobs/{digest}"), &headers, Said::nothing());
    let at = run.begin(REPOSITORY);
    run.finish(&at, &absent(), Said::whole(blob));
}

fn redirected(run: &mut Run) {
    const REPOSITORY: &str = "re/directed";
    let digest = run.blob(REPOSITORY, b"elsewhere");
    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
    let heard = run.get(&path);
    assert_eq!(heard.status, 307, "{heard:?}");
    assert!(location(&heard).starts_with("https://storage.example/"), "{heard:?}");
    run.head(&path);
    run.ask(Method::GET, &path, &[("Range", "bytes=0-1")], Said::nothing());
    let content = Content::new("redirected");
    content.push_blobs(run, REPOSITORY);
    let image = content.manifest(IMAGE, json!({}));
    run.manifest(&format!("/v2/{REPOSITORY}/manifests/1"), IMAGE, &image);
    run.get(&format!("/v2/{REPOSITORY}/manifests/1"));
}

fn logins(run: &mut Run) {
    let image = Content::new("login").manifest(IMAGE, json!({}));
    let digest = absent();
    for authorization in [
        None,
        Some("Basic Y2ktYm90Ondyb25n"),
        Some("Basic nonsense"),
        Some("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."),
        Some("Basic Y2ktYm90Om9wZW4tc2VzYW1l"),
    ] {
        let header: Vec<(&str, &str)> =
            authorization.map(|a| ("Authorization", a)).into_iter().collect();
        for (method, path) in [
            (Method::GET, "/v2/"),
            (Method::HEAD, "/v2/"),
            (Method::GET, "/v2/_catalog"),
            (Method::GET, "/v2/team/app/tags/list"),
            (Method::HEAD, "/v2/team/app/manifests/1"),
            (Method::POST, "/v2/team/app/blobs/uploads/"),
            (Method::POST, "/v2/team/app/blobs/uploads/?mount=sha256:x&from=other/app"),
            (Method::DELETE, "/v2/team/app/manifests/1"),
            (Method::DELETE, &format!("/v2/team/app/blobs/{digest}")),
        ] {
            run.ask(method, path, &header, Said::nothing());
        }
        let typed = [&header[..], &[("Content-Type", IMAGE)]].concat();
        run.ask(Method::PUT, "/v2/team/app/manifests/1", &typed, Said::whole(image.clone()));
        let path = "/v2/team/app/blobs/uploads/unknown";
        run.ask(Method::PATCH, path, &header, Said::whole(vec![b'x'; 1 << 16]));
    }
}

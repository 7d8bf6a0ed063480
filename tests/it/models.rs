//! Registries differ in how they say where an upload goes on; a push to any of them stays with us to its end.
//!
//! Each is a script that answers as its sources do: the file is named at each. Only Distribution 2 is real
//! in other tests, and Artifactory has a file of its own.

use crate::support::Curl;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::sha256;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const NAME: &str = "registry.example.com";
const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const SESSION: &str = "/v2/team/app/blobs/uploads/5f1c9a52-1a0e-4c3b-9d4f-6f2d0c8f7b11";
const BLOB: &str = "a layer";

/// What stands before the path of a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// Nothing: the client knows whom it asked.
    Relative,
    /// `X-Forwarded-Proto` and the first `X-Forwarded-Host`.
    Forwarded,
    /// What the registry sees for itself: no TLS, and `Host`.
    Host,
    /// What its operator wrote.
    Configured(&'static str),
}

/// One kind of registry.
struct Model {
    /// Of the `Location` of uploads and blobs.
    blobs: Base,
    manifests: Base,
    /// What a manifest's `Location` ends with.
    manifest: Reference,
    /// Whether uploads carry what they need in the query, another at each step.
    state: bool,
    /// The `Range` of an upload that has nothing yet.
    range: &'static str,
    /// To whom has no token. `{here}` is scheme and host as they are forwarded.
    challenges: &'static [&'static str],
    /// Targets of its own beside `/v2/<name>`.
    own: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Reference {
    Digest,
    Tag,
}

/// distribution/distribution: `registry/api/v2/urls.go` builds URLs, `registry/handlers/blobupload.go` the
/// state, `registry/auth/token/accesscontroller.go` the challenge (with `autoredirect`).
static DISTRIBUTION_3: Model = Model {
    blobs: Base::Forwarded,
    manifests: Base::Forwarded,
    manifest: Reference::Digest,
    state: true,
    range: "0-0",
    challenges: &["Bearer realm=\"{here}/auth/token\",service=\"registry.example.com\""],
    own: &["/auth/token?service=registry.example.com&scope=repository%3Ateam%2Fapp%3Apull%2Cpush"],
};

/// goharbor/harbor: `src/server/registry/proxy.go` hands uploads to a Distribution inside, whose URLs go out
/// as they are; `src/server/middleware/v2auth/auth.go` makes the challenge of the configured endpoint. Its
/// API wants names escaped twice.
static HARBOR: Model = Model {
    blobs: Base::Forwarded,
    manifests: Base::Forwarded,
    manifest: Reference::Digest,
    state: true,
    range: "0-0",
    challenges: &[
        "Bearer realm=\"https://harbor.example.com/service/token\",service=\"harbor-registry\"",
    ],
    own: &[
        "/service/token?service=harbor-registry&scope=repository%3Ateam%2Fapp%3Apush%2Cpull",
        "/api/v2.0/projects/team/repositories/app%252Fweb/artifacts?with_tag=true&q=tags%3D~1",
    ],
};

/// The same where its own nginx puts the scheme it was asked by into `X-Forwarded-Proto`, as the templates of
/// `make/photon/prepare/templates/nginx` long did: Locations with `http` and the client's host.
static HARBOR_BEHIND_ITS_NGINX: Model =
    Model { blobs: Base::Host, manifests: Base::Host, ..HARBOR };

/// quay/quay: `endpoints/v2/blob.py` (with its `Range`) and `endpoints/v2/manifest.py`;
/// `auth/registry_jwt_auth.py` for the challenge. Its URLs have `SERVER_HOSTNAME`, whoever asks.
static QUAY: Model = Model {
    blobs: Base::Configured("https://registry.example.com"),
    manifests: Base::Relative,
    manifest: Reference::Digest,
    state: false,
    range: "bytes=0--1",
    challenges: &[
        "Bearer realm=\"https://registry.example.com/v2/auth\",service=\"registry.example.com\"",
    ],
    own: &[
        "/v2/auth?service=registry.example.com&scope=repository%3Ateam%2Fapp%3Apull%2Cpush",
        "/api/v1/repository/team/app/tag/?onlyActiveTags=true&filter_tag_name=like:1.%25",
    ],
};

/// go-gitea/gitea: `routers/api/packages/container/container.go`. `ROOT_URL` is in the challenge alone.
static GITEA: Model = Model {
    blobs: Base::Relative,
    manifests: Base::Relative,
    manifest: Reference::Tag,
    state: false,
    range: "0-0",
    challenges: &["Bearer realm=\"https://git.example.com/v2/token\"", "Basic"],
    own: &[
        "/v2/token?service=container_registry&scope=%2A",
        "/api/v1/packages/team?type=container&q=app%2Fweb",
    ],
};

/// project-zot/zot: `pkg/api/routes.go` takes the path it was asked for, without its query;
/// `pkg/api/bearer.go` makes the challenge.
static ZOT: Model = Model {
    blobs: Base::Relative,
    manifests: Base::Relative,
    manifest: Reference::Digest,
    state: false,
    range: "0-0",
    challenges: &[
        "Bearer realm=\"https://auth.example.com/token\",service=\"registry.example.com\",scope=\"\"",
    ],
    own: &["/v2/_zot/ext/search?query=%7BGlobalSearch(query:%22%22)%7BRepos%7BName%7D%7D%7D"],
};

/// The head of a request.
struct Asked {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
}

impl Asked {
    fn read(head: &str) -> Self {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap().split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let fields = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { method, target, fields }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    fn value(&self, name: &str) -> &str {
        let values = self.values(name);
        assert_eq!(values.len(), 1, "{name} in {:?}", self.fields);
        values[0]
    }

    fn length(&self) -> usize {
        assert!(self.values("transfer-encoding").is_empty(), "every length is known");
        self.values("content-length").first().map_or(0, |length| length.parse().unwrap())
    }

    /// Scheme and host as a proxy says they are.
    fn forwarded(&self) -> String {
        let host = self.value("x-forwarded-host").split(',').next().unwrap().trim();
        format!("{}://{host}", self.value("x-forwarded-proto"))
    }
}

impl Base {
    fn of(self, asked: &Asked) -> String {
        match self {
            Self::Relative => String::new(),
            Self::Forwarded => asked.forwarded(),
            Self::Host => format!("http://{}", asked.value("host")),
            Self::Configured(base) => base.to_owned(),
        }
    }

    /// The same as the client is to be told it.
    fn told(self, sidecar: &Sidecar) -> String {
        match self {
            Self::Relative => String::new(),
            Self::Forwarded | Self::Host => sidecar.url(""),
            Self::Configured(base) => base.to_owned(),
        }
    }
}

impl Model {
    /// The upload's path and query after so many steps.
    fn session(&self, step: usize) -> String {
        // As Go writes base64 of a URL's alphabet into a query.
        let states = ["?_state=eyJOYW1lIjoi_-8%3D", "?_state=T2Zmc2V0Ijo3-_4%3D%3D"];
        if self.state { format!("{SESSION}{}", states[step]) } else { SESSION.to_owned() }
    }

    /// Where the upload ends.
    fn end(&self) -> String {
        let sign = if self.state { '&' } else { '?' };
        format!("{}{sign}digest={}", self.session(1), sha256(BLOB.as_bytes()))
    }

    /// Path of the `Location` of a manifest under this tag.
    fn manifest(&self, tag: &str, digest: &str) -> String {
        let reference = match self.manifest {
            Reference::Digest => digest,
            Reference::Tag => tag,
        };
        format!("/v2/team/app/manifests/{reference}")
    }

    fn answer(&self, asked: &Asked, body: &[u8]) -> String {
        let (method, target) = (asked.method.as_str(), asked.target.as_str());
        let blobs = self.blobs.of(asked);
        let says = |status: &str, fields: &str, body: &str| {
            let length = body.len();
            format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
        };
        if method == "HEAD" {
            return says("404 Not Found", "", "");
        }
        if asked.values("authorization").is_empty() && target == "/v2/" {
            let lines = self.challenges.iter().map(|challenge| {
                let challenge = challenge.replace("{here}", &asked.forwarded());
                format!("Www-Authenticate: {challenge}\r\n")
            });
            return says("401 Unauthorized", &lines.collect::<String>(), "");
        }
        if method == "GET" {
            return says("200 OK", "", target);
        }
        if (method, target) == ("POST", UPLOADS) {
            let fields =
                format!("Location: {blobs}{}\r\nRange: {}\r\n", self.session(0), self.range);
            return says("202 Accepted", &fields, "");
        }
        if method == "PATCH" && target == self.session(0) && body == BLOB.as_bytes() {
            let end = body.len() - 1;
            let fields = format!("Location: {blobs}{}\r\nRange: 0-{end}\r\n", self.session(1));
            return says("202 Accepted", &fields, "");
        }
        if method == "PUT" && target == self.end() {
            let fields =
                format!("Location: {blobs}/v2/team/app/blobs/{}\r\n", sha256(BLOB.as_bytes()));
            return says("201 Created", &fields, "");
        }
        if let ("PUT", Some(tag)) = (method, target.strip_prefix("/v2/team/app/manifests/")) {
            let digest = sha256(body);
            let location = format!("{}{}", self.manifests.of(asked), self.manifest(tag, &digest));
            let fields = format!("Location: {location}\r\nDocker-Content-Digest: {digest}\r\n");
            return says("201 Created", &fields, "");
        }
        says("404 Not Found", "", "{\"errors\":[{\"code\":\"BLOB_UPLOAD_UNKNOWN\"}]}")
    }
}

/// A whole push as the registry's `Location`s lead it, over both protocols.
#[track_caller]
fn is_pushed_to(model: &'static Model) {
    let registry = Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            let asked = Asked::read(&head);
            let body = conversation.body(asked.length());
            conversation.say(model.answer(&asked, &body));
        }
    });
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    for (protocol, tag) in [("--http1.1", "1.1"), ("--http2", "2")] {
        push(model, &work, &sidecar, protocol, tag);
    }
    assert_eq!(sidecar.printed().matches("Event recorded").count(), 2);
    let asked: Vec<Asked> = registry.heads().iter().map(|head| Asked::read(head)).collect();
    let elsewhere = asked.iter().filter(|asked| asked.value("host") == NAME);
    let named = matches!(model.blobs, Base::Configured(_));
    assert_eq!(elsewhere.count(), if named { 4 } else { 0 }, "a PATCH and a PUT of each protocol");
    // Our own look at a tag is nobody's request.
    for asked in asked.iter().filter(|asked| asked.method != "HEAD") {
        let host = asked.value("host");
        assert!(host == sidecar.host() || host == NAME, "{host}");
        let port = host.rsplit_once(':').map_or("443", |(_, port)| port);
        assert_eq!(asked.value("x-forwarded-host"), host);
        assert_eq!(asked.value("x-forwarded-port"), port);
        assert_eq!(asked.value("x-forwarded-proto"), "https");
        assert_eq!(asked.value("x-forwarded-for"), "127.0.0.1");
        assert!(asked.values("forwarded").is_empty());
    }
}

#[track_caller]
fn push(model: &Model, work: &Workdir, sidecar: &Sidecar, protocol: &str, tag: &str) {
    // The registry's own name leads to us, as it does where we stand in front of it.
    let named = format!("{NAME}:443:{}", sidecar.address("registry"));
    let curl = Curl::through(work, sidecar).with(&[
        protocol,
        "--connect-to",
        &named,
        "--header",
        "X-Forwarded-Host: evil.example",
        "--header",
        "X-Forwarded-Proto: http",
        "--header",
        "X-Forwarded-Port: 80",
        "--header",
        "Forwarded: host=evil.example;proto=http",
    ]);
    let refused = curl.get("/v2/");
    let challenges: Vec<&str> = refused
        .headers
        .get_all("www-authenticate")
        .iter()
        .map(|challenge| challenge.to_str().unwrap())
        .collect();
    let expected: Vec<String> = model
        .challenges
        .iter()
        .map(|challenge| challenge.replace("{here}", &sidecar.url("")))
        .collect();
    assert_eq!((refused.status, challenges), (401, expected.iter().map(|e| &**e).collect()));
    for own in model.own {
        let reply = curl.get(own);
        assert_eq!((reply.status, &*reply.text()), (200, *own), "{reply:?}");
    }

    let curl = curl.with(&["--header", "Authorization: Bearer token"]);
    let told = model.blobs.told(sidecar);
    let absolute = |location: &str| match location.strip_prefix('/') {
        Some(_) => sidecar.url(location),
        None => location.to_owned(),
    };
    let begun = curl.call(UPLOADS, &["--request", "POST"]);
    assert_eq!(begun.status, 202, "{begun:?}");
    assert_eq!(begun.header("range"), Some(model.range));
    let location = begun.header("location").unwrap();
    assert_eq!(location, format!("{told}{}", model.session(0)));
    let kind = "Content-Type: application/octet-stream";
    let body = ["--request", "PATCH", "--header", kind, "--data-binary", BLOB];
    let patched = curl.call(&absolute(location), &body);
    assert_eq!((patched.status, patched.header("range")), (202, Some("0-6")), "{patched:?}");
    let location = patched.header("location").unwrap();
    assert_eq!(location, format!("{told}{}", model.session(1)));
    let sign = if location.contains('?') { '&' } else { '?' };
    let digest = sha256(BLOB.as_bytes());
    let end = absolute(&format!("{location}{sign}digest={digest}"));
    let ended = curl.call(&end, &["--request", "PUT", "--header", kind, "--data-binary", ""]);
    assert_eq!(ended.status, 201, "{ended:?}");
    let location = format!("{told}/v2/team/app/blobs/{digest}");
    assert_eq!(ended.header("location"), Some(&*location));
    let manifest = format!("{{\"schemaVersion\":2,\"mediaType\":\"{IMAGE}\",\"tag\":\"{tag}\"}}");
    let digest = sha256(manifest.as_bytes());
    let put = curl.put("team/app", tag, IMAGE, manifest.as_bytes());
    assert_eq!(put.status, 201, "{put:?}");
    let location = format!("{}{}", model.manifests.told(sidecar), model.manifest(tag, &digest));
    assert_eq!(put.header("location"), Some(&*location));
    let protocol = if protocol == "--http2" { "2" } else { "1.1" };
    for reply in [&refused, &begun, &patched, &ended, &put] {
        assert_eq!(reply.version, protocol);
    }
    let wanted = [
        ("message", "Event recorded"),
        ("repository", "team/app"),
        ("tag", tag),
        ("digest", &digest),
    ];
    sidecar.wait_for_log("what was pushed", &wanted);
}

#[test]
fn distribution_3_is_pushed_to() {
    is_pushed_to(&DISTRIBUTION_3);
}

#[test]
fn harbor_is_pushed_to() {
    is_pushed_to(&HARBOR);
}

#[test]
fn harbor_behind_an_nginx_that_says_http_is_pushed_to() {
    is_pushed_to(&HARBOR_BEHIND_ITS_NGINX);
}

#[test]
fn quay_is_pushed_to() {
    is_pushed_to(&QUAY);
}

#[test]
fn gitea_is_pushed_to() {
    is_pushed_to(&GITEA);
}

#[test]
fn zot_is_pushed_to() {
    is_pushed_to(&ZOT);
}

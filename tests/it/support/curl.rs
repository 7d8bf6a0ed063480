use std::fmt;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::image::IMAGE;
use super::image::INDEX;
use super::image::Image;
use super::image::Index;
use super::image::sha256;
use super::process::run;
use super::sidecar::Sidecar;
use super::workdir::Workdir;

/// What Docker itself still pushes.
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// `curl` towards one server.
pub(crate) struct Curl {
    base: String,
    scratch: PathBuf,
    options: Vec<String>,
}

/// What curl got.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// `1.1` or `2`.
    pub(crate) version: String,
    /// Bytes of the body that went out.
    pub(crate) uploaded: u64,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What curl has to say where it got no answer.
    pub(crate) error: String,
}

impl Curl {
    /// Towards a plain server, such as the registry itself.
    pub(crate) fn direct(work: &Workdir, base: &str) -> Self {
        let scratch = tempfile::tempdir_in(work.path()).unwrap().keep();
        Self { base: base.to_owned(), scratch, options: Vec::new() }
    }

    /// Through the sidecar, trusting its CA and nothing else.
    pub(crate) fn through(work: &Workdir, sidecar: &Sidecar) -> Self {
        let curl = Self::direct(work, &sidecar.url(""));
        curl.with(&["--cacert", sidecar.ca().to_str().unwrap()])
    }

    /// With these options, too.
    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call(path, &[])
    }

    /// A manifest, of whatever kind it is.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Reply {
        let accept = format!("Accept: {IMAGE}, {INDEX}, {DOCKER}");
        self.call(&format!("/v2/{repository}/manifests/{reference}"), &["--header", &accept])
    }

    /// One request. What goes wrong below HTTP has status 0.
    #[track_caller]
    pub(crate) fn call(&self, path: &str, options: &[&str]) -> Reply {
        let url =
            if path.contains("://") { path.to_owned() } else { format!("{}{path}", self.base) };
        let (head, body) = (self.scratch.join("head"), self.scratch.join("body"));
        fs::write(&head, "").unwrap();
        fs::write(&body, "").unwrap();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "50"])
            .args(["--write-out", "%{http_code} %{http_version} %{size_upload}"])
            .arg("--dump-header")
            .arg(&head)
            .arg("--output")
            .arg(&body)
            .args(&self.options)
            .args(options)
            .arg(url);
        let done = run(&mut curl);
        let report: Vec<&str> = done.out.split(' ').collect();
        let [status, version, uploaded] = report[..] else { panic!("curl's report: {report:?}") };
        Reply {
            status: status.parse().unwrap(),
            version: version.to_owned(),
            uploaded: uploaded.parse().unwrap(),
            headers: last_head(&fs::read_to_string(&head).unwrap()),
            body: fs::read(&body).unwrap(),
            error: done.err.clone(),
        }
    }

    /// A manifest under a tag or digest, with this media type.
    #[track_caller]
    pub(crate) fn put(&self, repository: &str, reference: &str, kind: &str, bytes: &[u8]) -> Reply {
        let file = self.scratch.join("manifest");
        fs::write(&file, bytes).unwrap();
        let (kind, data) = (format!("Content-Type: {kind}"), format!("@{}", file.display()));
        let options = ["--request", "PUT", "--header", &kind, "--data-binary", &data];
        self.call(&format!("/v2/{repository}/manifests/{reference}"), &options)
    }

    /// A blob, at the `Location` the registry gives. Yields that location.
    #[track_caller]
    pub(crate) fn blob(&self, repository: &str, bytes: &[u8]) -> String {
        let file = self.scratch.join("blob");
        fs::write(&file, bytes).unwrap();
        self.blob_file(repository, &file, &sha256(bytes))
    }

    /// The same for a file that need not fit into memory.
    #[track_caller]
    pub(crate) fn blob_file(&self, repository: &str, file: &Path, digest: &str) -> String {
        let begun = self.call(&format!("/v2/{repository}/blobs/uploads/"), &["--request", "POST"]);
        assert_eq!(begun.status, 202, "{begun:?}");
        let location = begun.header("location").expect("a location").to_owned();
        let to = format!("{location}&digest={digest}");
        let kind = "Content-Type: application/octet-stream";
        let file = file.to_str().unwrap();
        let put = self.call(&to, &["--header", kind, "--upload-file", file]);
        assert_eq!(put.status, 201, "{put:?}");
        location
    }

    /// An image, whole, as any client would: blobs first.
    #[track_caller]
    pub(crate) fn push(&self, repository: &str, tag: &str, image: &Image) -> Reply {
        self.blob(repository, &image.config);
        self.blob(repository, &image.layer);
        self.put(repository, tag, IMAGE, &image.manifest)
    }

    /// An index with all it lists.
    #[track_caller]
    pub(crate) fn push_index(&self, repository: &str, tag: &str, index: &Index) -> Reply {
        for image in &index.images {
            assert_eq!(self.push(repository, &image.digest(), image).status, 201);
        }
        self.put(repository, tag, INDEX, &index.manifest)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} over HTTP/{} {}", self.status, self.version, self.error)?;
        writeln!(f, "{:#?}", self.headers)?;
        f.write_str(&self.text().chars().take(500).collect::<String>())
    }
}

impl Reply {
    /// A header's value, where there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, read as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|e| panic!("{e} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The head of the answer itself: curl writes those of interim answers before it.
fn last_head(text: &str) -> http::HeaderMap {
    let heads = text.split("\r\n\r\n").filter(|head| !head.trim().is_empty());
    let lines = heads.last().unwrap_or_default().lines().skip(1);
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.parse::<http::HeaderName>().ok()?, value.trim().parse().ok()?))
    };
    lines.filter_map(pair).collect()
}

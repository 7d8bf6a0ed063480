use std::net::Ipv4Addr;

use anyhow::Result;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pushbell::body::collect_capped;
use pushbell::tasks::Tasks;
use tokio::net::TcpListener;

use crate::body::Body;
use crate::body::Length;
use crate::body::swallow;
use crate::registry::Blob;

/// A registry without a disk: it swallows uploads and manifests, serves downloads from memory, and keeps
/// nothing.
pub(crate) struct Sink {
    pub(crate) port: u16,
}

/// What an upload goes to; it answers with the number of bytes it saw in [`SEEN`].
pub(crate) const UPLOAD: &str = "/v2/bench/app/blobs/uploads/00000000-0000-4000-8000-000000000000";
/// What a download comes from.
pub(crate) const BLOB: &str =
    "/v2/bench/app/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// How much of an upload arrived.
pub(crate) const SEEN: &str = "x-bytes-seen";
/// What is common to the places of manifests.
const MANIFESTS: &str = "/manifests/";
/// As large as a manifest may be, in bytes.
const MANIFEST_LIMIT: usize = 4 << 20;

impl Sink {
    /// Serves until the benchmark ends; every blob has this size.
    pub(crate) async fn start(blob: u64) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let tasks = Tasks::new();
        tasks.clone().spawn(async move {
            loop {
                let Ok((io, _)) = listener.accept().await else {
                    continue;
                };
                io.set_nodelay(true).ok();
                let service = service_fn(move |request| answer(request, blob));
                tasks.spawn(http1::Builder::new().serve_connection(TokioIo::new(io), service));
            }
        });
        Ok(Self { port })
    }
}

async fn answer(request: Request<Incoming>, blob: u64) -> Result<Response<Body>> {
    let builder = Response::builder().header("docker-distribution-api-version", "registry/2.0");
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/v2/") => builder.body(Body::of("{}")),
        (&Method::GET, BLOB) => builder.body(Body::filler(blob, Length::Told)),
        (&Method::PATCH, UPLOAD) => {
            let seen = swallow(request.into_body()).await?;
            builder.status(StatusCode::ACCEPTED).header(SEEN, seen).body(Body::empty())
        }
        (&Method::PUT, path) if path.contains(MANIFESTS) => {
            let place = HeaderValue::from_str(path)?;
            let body = collect_capped(request.into_body(), MANIFEST_LIMIT).await?.into_bytes();
            builder
                .status(StatusCode::CREATED)
                .header("location", place)
                .header("docker-content-digest", Blob::of(body).digest)
                .body(Body::empty())
        }
        _ => builder.status(StatusCode::NOT_FOUND).body(Body::empty()),
    };
    Ok(response?)
}

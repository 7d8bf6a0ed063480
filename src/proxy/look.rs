use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Uri;
use http::header;

use crate::outbox::Before;
use crate::registry::ArtifactoryName;
use crate::registry::Digest;
use crate::registry::Layout;
use crate::registry::MediaType;
use crate::registry::Reference;
use crate::registry::RepositoryName;
use crate::registry::Tag;
use crate::secret::Secret;

use super::request::RequestBody;
use super::settle::rules::Found;
use super::token::Realm;
use super::token::Tokens;
use super::upstream::Session;
use super::upstream::Share;
use super::upstream::Upstream;

/// The account for our own looks. Never the client's: its credentials were lent for its own request.
#[derive(Debug, Clone)]
pub struct Account {
    /// A user that may read.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// Our own read-only questions to the registry.
#[derive(Debug, Clone)]
pub(super) struct Look {
    upstream: Upstream,
    layout: Layout,
    headers: HeaderMap,
    tokens: Tokens,
}

/// The name we look under; a registry's notification of such a pull is our own echo (rule S6).
pub const USER_AGENT: &str = concat!("pushbell/", env!("CARGO_PKG_VERSION"), " (look)");

/// The host we name where the registry has none.
const NO_HOST: &str = "localhost";

const CONTENT_DIGEST: &str = "docker-content-digest";

impl Look {
    pub(super) fn new(
        upstream: Upstream,
        layout: Layout,
        host: Option<&str>,
        account: Option<&Account>,
        own: Vec<String>,
        realms: Vec<Realm>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for media_type in MediaType::MANIFESTS {
            headers.append(header::ACCEPT, HeaderValue::from_static(media_type));
        }
        // A unix socket has no authority, but HTTP/1.1 must have a Host (RFC 9112 §3.2).
        let host = HeaderValue::from_str(host.unwrap_or(NO_HOST));
        headers.insert(header::HOST, host.unwrap_or(HeaderValue::from_static(NO_HOST)));
        let mut basic = None;
        if let Some(Account { username, password }) = account {
            let mut pair = username.clone().into_bytes();
            pair.push(b':');
            pair.extend_from_slice(password.expose());
            let value = format!("Basic {}", STANDARD.encode(pair));
            if let Ok(mut value) = HeaderValue::from_str(&value) {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value.clone());
                basic = Some(value);
            }
        }
        let tokens = Tokens::new(own, realms, basic, HeaderValue::from_static(USER_AGENT));
        Self { upstream, layout, headers, tokens }
    }

    /// The same questions, asked over other connections.
    pub(super) fn through(&self, upstream: Upstream) -> Self {
        Self { upstream, ..self.clone() }
    }

    /// What the tag names now. It has no deadline of its own.
    pub(super) async fn at_tag(
        &self,
        repository: &RepositoryName,
        artifactory: Option<&ArtifactoryName>,
        tag: &Tag,
    ) -> Before {
        match self.at(repository, artifactory, &Reference::Tag(tag.clone())).await {
            Found::Digest(digest) => Before::Was(digest),
            Found::Nothing => Before::Absent,
            Found::Something | Found::Denied | Found::Unclear => Before::Unknown,
        }
    }

    /// What the registry has under the reference. It has no deadline of its own.
    pub(super) async fn at(
        &self,
        repository: &RepositoryName,
        artifactory: Option<&ArtifactoryName>,
        reference: &Reference,
    ) -> Found {
        let path = self.layout.manifest(repository, artifactory, reference);
        let Ok(uri) = path.parse::<Uri>() else {
            return Found::Unclear;
        };
        let repository = repository.as_str();
        let Some(mut response) = self.ask(uri.clone(), self.tokens.known(repository)).await else {
            return Found::Unclear;
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            let token = self.tokens.get(repository, response.headers(), &self.upstream).await;
            if let Some(token) = token {
                match self.ask(uri, Some(token)).await {
                    Some(again) => response = again,
                    None => return Found::Unclear,
                }
            }
        }
        match response.status() {
            StatusCode::OK => response
                .headers()
                .get(CONTENT_DIGEST)
                .and_then(|digest| Digest::from_str(digest.to_str().ok()?).ok())
                .map_or(Found::Something, Found::Digest),
            StatusCode::NOT_FOUND => Found::Nothing,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Found::Denied,
            _ => Found::Unclear,
        }
    }

    async fn ask(&self, uri: Uri, token: Option<HeaderValue>) -> Option<Response<()>> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, token);
        }
        let sent = self.upstream.send(&Session::default(), Share::Any, request).await;
        let (response, lease) = sent.ok()?;
        // The answer to a HEAD has no body, so the connection is free.
        lease.give_back();
        Some(response.map(drop))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixListener;

    use crate::connect;
    use crate::connect::Connector;
    use crate::connect::Target;
    use crate::connect::address::Policy;

    use super::*;

    #[tokio::test]
    async fn a_registry_behind_a_unix_socket_understands_a_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixListener::bind(&path).unwrap();
        let connector = Connector::new(connect::Config {
            target: Target::Unix(path),
            tls: None,
            policy: Policy::for_upstream(),
            deadline: Duration::from_secs(5),
        });
        let upstream = Upstream::new(connector, Duration::from_secs(60));
        let look = Look::new(upstream, Layout::Plain, None, None, Vec::new(), Vec::new());
        let (repository, tag) = ("team/app".parse().unwrap(), "1.0".parse().unwrap());
        let digest = Digest::sha256(b"x");
        let registry = async {
            let (mut io, _) = socket.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert_ne!(io.read_buf(&mut head).await.unwrap(), 0);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let known = head.contains("\r\nhost: localhost\r\n");
            let status = if known { "200 OK" } else { "400 Bad Request" };
            let answer = format!("HTTP/1.1 {status}\r\nDocker-Content-Digest: {digest}\r\n\r\n");
            io.write_all(answer.as_bytes()).await.unwrap();
            io
        };
        let (before, _io) = tokio::join!(look.at_tag(&repository, None, &tag), registry);
        assert_eq!(before, Before::Was(digest.clone()));
    }
}

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::Either;
use hyper::service::Service;

use crate::acme::Tokens;
use crate::admin;
use crate::admin::Admin;
use crate::body::BoxError;
use crate::ingest::Hooks;
use crate::ingest::PATH;
use crate::listener::Incoming;
use crate::listener::Peer;
use crate::listener::Refusal;
use crate::listener::Serve;
use crate::listener::Words;
use crate::proxy;
use crate::proxy::Proxy;

/// What one listener serves. Where it serves the registry, only paths below `/_pushbell/` are ours, and only
/// if it serves `hooks` or `admin` too; everything else is the registry's.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) registry: Option<Proxy>,
    pub(super) hooks: Option<Hooks>,
    pub(super) admin: Option<Admin>,
    /// Where receivers find our public keys beside hooks: this page of it, and no other.
    pub(super) keys: Option<Admin>,
    /// Answers for CAs, where nothing else is served.
    pub(super) acme: Option<Tokens>,
}

/// One connection to it.
pub(super) struct Connection {
    registry: Option<proxy::Connection>,
    hooks: Option<Hooks>,
    admin: Option<Admin>,
    keys: Option<Admin>,
    acme: Option<Tokens>,
}

type Body = Either<proxy::ResponseBody, admin::Body>;

const OURS: &str = "/_pushbell/";
const KEYS: &str = "/_pushbell/keys";

impl Serve for Front {
    type Connection = Connection;
    type Body = Body;

    fn connection(&self, peer: Peer) -> Connection {
        let registry = self.registry.as_ref().map(|proxy| proxy.connection(peer));
        let (hooks, admin) = (self.hooks.clone(), self.admin.clone());
        let (keys, acme) = (self.keys.clone(), self.acme.clone());
        Connection { registry, hooks, admin, keys, acme }
    }

    fn refusal(&self) -> Refusal {
        match (&self.registry, &self.hooks, &self.admin) {
            (Some(registry), ..) => registry.refusal(),
            (None, Some(hooks), _) => hooks.refusal(),
            (None, None, Some(admin)) => admin.refusal(),
            // To a CA the status says enough.
            (None, None, None) => |_| Words { media: "text/plain", body: Bytes::new() },
        }
    }
}

/// An answer of either.
pub(super) enum Answering {
    Registry(<proxy::Connection as Service<Request<Incoming>>>::Future),
    Hooks(<Hooks as Service<Request<Incoming>>>::Future),
    Admin(<Admin as Service<Request<Incoming>>>::Future),
    /// Nothing where it serves nothing, which the configuration refuses.
    Acme(Option<Response<admin::Body>>),
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let path = request.uri().path();
        let ours = (self.hooks.is_some() || self.admin.is_some()) && path.starts_with(OURS);
        let hooked = path.starts_with(PATH);
        if let (Some(keys), KEYS) = (&self.keys, path) {
            return Answering::Admin(keys.call(request));
        }
        match (&self.registry, &self.hooks, &self.admin) {
            (Some(registry), ..) if !ours => Answering::Registry(registry.call(request)),
            (_, Some(hooks), admin) if hooked || admin.is_none() => {
                Answering::Hooks(hooks.call(request))
            }
            (.., Some(admin)) => Answering::Admin(admin.call(request)),
            (.., None) => {
                let found = |acme: &Tokens| acme.get(request.method(), request.uri().path());
                Answering::Acme(self.acme.as_ref().map(found))
            }
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Registry(answer) => answer.as_mut().poll(cx).map_ok(|r| r.map(Either::Left)),
            Self::Hooks(answer) => answer.as_mut().poll(cx).map_ok(|r| r.map(Either::Right)),
            Self::Admin(answer) => answer.as_mut().poll(cx).map_ok(|r| r.map(Either::Right)),
            Self::Acme(found) => {
                let found = found.take().map(|response| response.map(Either::Right));
                Poll::Ready(found.ok_or_else(|| "this listener serves nothing".into()))
            }
        }
    }
}

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::Either;
use hyper::service::Service;

use crate::admin;
use crate::admin::Admin;
use crate::body::BoxError;
use crate::listener::Incoming;
use crate::listener::Peer;
use crate::listener::Refusal;
use crate::listener::Serve;
use crate::listener::Words;
use crate::proxy;
use crate::proxy::Proxy;

/// What one listener serves. Where it serves the registry, only paths below `/_pushbell/` are ours, and only
/// if it serves `admin` too; everything else is the registry's.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) registry: Option<Proxy>,
    pub(super) admin: Option<Admin>,
}

/// One connection to it.
pub(super) struct Connection {
    registry: Option<proxy::Connection>,
    admin: Option<Admin>,
}

type Body = Either<proxy::ResponseBody, admin::Body>;

const OURS: &str = "/_pushbell/";

impl Serve for Front {
    type Connection = Connection;
    type Body = Body;

    fn connection(&self, peer: Peer) -> Connection {
        let registry = self.registry.as_ref().map(|proxy| proxy.connection(peer));
        Connection { registry, admin: self.admin.clone() }
    }

    fn refusal(&self) -> Refusal {
        match (&self.registry, &self.admin) {
            (Some(registry), _) => registry.refusal(),
            (None, Some(admin)) => admin.refusal(),
            // The configuration refuses a listener that serves nothing.
            (None, None) => |_| Words { media: "text/plain", body: Bytes::new() },
        }
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        match (&self.registry, &self.admin) {
            (Some(registry), admin) if admin.is_none() || !path.starts_with(OURS) => {
                let answered = registry.call(request);
                Box::pin(async move { Ok(answered.await?.map(Either::Left)) })
            }
            (_, Some(admin)) => {
                let answered = admin.call(request);
                Box::pin(async move { Ok(answered.await?.map(Either::Right)) })
            }
            // The configuration refuses a listener that serves nothing.
            (_, None) => Box::pin(async { Err("this listener serves nothing".into()) }),
        }
    }
}

use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::certs;

use super::address::Class;
use super::address::InvalidHost;
use super::proxy;
use super::tls;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host is neither a name nor an address.
    #[error("could not use the host {host:?}")]
    Host {
        /// As configured.
        host: String,
        /// What is wrong with it.
        source: InvalidHost,
    },
    /// The resolver did not answer, or knows no such name.
    #[error("could not resolve {host}")]
    Resolve {
        /// The name that was asked for.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The resolver knows the name, but has no address for it.
    #[error("could not connect to {at}: the name has no address")]
    NoAddress {
        /// Host and port.
        at: String,
    },
    /// No address of the host may be dialled.
    #[error("did not connect to {at}: {address} is {class}, which may not be dialled from here")]
    Refused {
        /// Host and port.
        at: String,
        /// The first refused address.
        address: IpAddr,
        /// What it is.
        class: Class,
    },
    /// Nobody answered at the address, or somebody said no.
    #[error("could not connect to {address}")]
    Connect {
        /// The address that was dialled.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody listens at the socket, or we may not reach it.
    #[error("could not connect to the socket {}", path.display())]
    ConnectUnix {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The proxy between us and the target failed, which says nothing of the target.
    #[error("no way to {at} through the proxy {proxy}")]
    Proxy {
        /// Host and port.
        at: String,
        /// Host and port of the proxy.
        proxy: String,
        /// What is wrong with it.
        source: proxy::Problem,
    },
    /// The time was up.
    #[error("could not {step} {at} within {allowed:?}")]
    Deadline {
        /// Host and port, or the socket's path.
        at: String,
        /// What was going on.
        step: Step,
        /// How long the whole attempt may take.
        allowed: Duration,
    },
    /// We have nothing to show to a server that asks who we are.
    #[error("did not begin TLS with {at}")]
    Identity {
        /// Host and port, or the socket's path.
        at: String,
        /// Why there is nothing.
        source: certs::Error,
    },
    /// The handshake failed for a reason that TLS gives.
    #[error("could not agree on TLS with {at}")]
    Tls {
        /// Host and port, or the socket's path.
        at: String,
        /// The reason.
        source: tls::Problem,
    },
    /// The connection broke during the handshake.
    #[error("lost the connection to {at} during the TLS handshake")]
    Lost {
        /// Host and port, or the socket's path.
        at: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What an attempt was doing when its time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Asking for the host's addresses.
    Resolve,
    /// Waiting for somebody to answer.
    Connect,
    /// Agreeing on TLS.
    Handshake,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect to",
            Self::Handshake => "agree on TLS with",
        })
    }
}

impl Error {
    /// What a failed handshake means.
    pub(super) fn handshake(at: String, error: io::Error) -> Self {
        match tls::Problem::of(&error) {
            Some(source) => Self::Tls { at, source },
            None => Self::Lost { at, source: error },
        }
    }

    /// One word for a metric's label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Host { .. } => "host",
            Self::Resolve { .. } | Self::NoAddress { .. } => "resolve",
            Self::Refused { .. } => "refused",
            Self::Connect { .. } | Self::ConnectUnix { .. } => "connect",
            Self::Deadline { .. } => "deadline",
            Self::Identity { .. } => "identity",
            Self::Proxy { .. } => "proxy",
            Self::Tls { .. } | Self::Lost { .. } => "tls",
        }
    }
}

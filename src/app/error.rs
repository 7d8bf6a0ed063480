use std::io;
use std::path::PathBuf;

use crate::certs;
use crate::listener;
use crate::outbox;

/// A run that did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory cannot be used, or somebody else has it.
    #[error("could not open the outbox")]
    Outbox {
        /// Why.
        source: outbox::Error,
    },
    /// The token that operators have to know can be neither read nor made.
    #[error("could not use the admin token in {}: {reason}", path.display())]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// No threads.
    #[error("could not start the runtime")]
    Runtime {
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be watched, so nobody could stop us.
    #[error("could not watch for signals")]
    Signals {
        /// Why.
        source: io::Error,
    },
    /// An identity that loads but that TLS does not take.
    #[error("could not use an identity")]
    Identity {
        /// Why.
        source: certs::Error,
    },
    /// An address cannot be had.
    #[error("could not start to listen")]
    Listen {
        /// Why.
        source: listener::Error,
    },
    /// The drain's time was over, or a second signal came.
    #[error(
        "stopped with {unfinished} tasks unfinished; what was acknowledged is durable and will be delivered"
    )]
    CutShort {
        /// Connections and exchanges that were cut off.
        unfinished: usize,
    },
    /// The outbox took no events until the end.
    #[error("stopped with {events} events that only memory held; each stands in the log")]
    Unkept {
        /// How many.
        events: usize,
    },
}

impl Error {
    /// What would be right, where somebody who reads the error does not know already.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Listen { source: listener::Error::Bind { address, source } } => {
                Some(address_remedy(address, source.kind())?.to_owned())
            }
            Self::Outbox { source: outbox::Error::Directory { source, .. } } => {
                Some(directory_remedy(source.kind()).to_owned())
            }
            Self::Outbox { source: outbox::Error::Open { .. } } => Some(
                "see that its disk has space and that the user we run as may write there, or give another \
                 `--state-directory`"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// What would be right where a directory of ours cannot be used.
pub(super) fn directory_remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or give another `--state-directory`"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "there is a file in the way: move it, or give another `--state-directory`"
        }
        _ => "let the user we run as write there, or give another `--state-directory`",
    }
}

fn address_remedy(address: &listener::Address, kind: io::ErrorKind) -> Option<&'static str> {
    use listener::Address::Tcp;
    use listener::Address::Unix;
    Some(match (address, kind) {
        (Tcp(_), io::ErrorKind::AddrInUse) => {
            "stop what listens there, which `ss -ltnp` shows, or give another `--listen` or `--admin`"
        }
        (Tcp(_), io::ErrorKind::AddrNotAvailable) => {
            "use an address of this machine, which `ip address` shows, or `0.0.0.0` for all of them"
        }
        (Tcp(_), io::ErrorKind::PermissionDenied) => {
            "use a port from 1024 on, or give us CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=)"
        }
        (Unix(_), io::ErrorKind::AddrInUse) => {
            "stop what listens there, which `ss -lxp` shows, or use another path"
        }
        (Unix(_), io::ErrorKind::NotFound) => "make the directory that the socket shall be in",
        (Unix(_), io::ErrorKind::PermissionDenied) => {
            "let the user we run as write to the directory that the socket shall be in"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_cannot_start_says_what_would_be_right() {
        let tcp = listener::Address::Tcp(([127, 0, 0, 1], 443).into());
        let unix = listener::Address::Unix(PathBuf::from("/run/pushbell/registry.sock"));
        for (address, kind, word) in [
            (&tcp, io::ErrorKind::AddrInUse, "--listen"),
            (&tcp, io::ErrorKind::AddrNotAvailable, "0.0.0.0"),
            (&tcp, io::ErrorKind::PermissionDenied, "1024"),
            (&unix, io::ErrorKind::NotFound, "directory"),
            (&unix, io::ErrorKind::PermissionDenied, "user"),
        ] {
            let source = listener::Error::Bind { address: address.clone(), source: kind.into() };
            let remedy = Error::Listen { source }.remedy().unwrap_or_default();
            assert!(remedy.contains(word), "{address} {kind}: {remedy}");
        }
        assert!(directory_remedy(io::ErrorKind::StorageFull).contains("space"));
        assert!(directory_remedy(io::ErrorKind::PermissionDenied).contains("user"));
    }
}

//! Through an HTTP proxy: a tunnel to the target, in which nothing is ours to read but its first answer
//! (RFC 9110 §9.3.6).
//!
//! The proxy resolves the target's name, so which addresses may be reached that way is its affair; what we dial
//! is the proxy. What goes wrong up to its yes is never the target's failure.

use std::io;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use crate::certs;
use crate::certs::ClientTls;
use crate::secret::Secret;

use super::Clock;
use super::Error;
use super::address::Host;
use super::address::Policy;
use super::error::Step;
use super::race;
use super::resolve;
use super::server_name;
use super::stream::Socket;

/// An HTTP proxy that lets us through to others by `CONNECT`.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// As in a URL; an IPv6 address may be in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS with the proxy itself, or `None` for a plain connection.
    pub tls: Option<ClientTls>,
    /// The value of `Proxy-Authorization`, where it wants to know who we are.
    pub authorization: Option<Secret>,
}

/// What is wrong with a proxy.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no connection to it.
    #[error(transparent)]
    Unreachable(Box<Error>),
    /// It lets nobody through whom it does not know.
    #[error("it asks for credentials (407): give it a `username` and a password")]
    CredentialsMissing,
    /// It does not know us.
    #[error("it does not accept our credentials (407)")]
    CredentialsRefused,
    /// It does not let us through to this target.
    #[error(
        "it answered {status} {reason}: it lets nobody through to that host or port, or not us"
    )]
    Forbidden {
        /// The status.
        status: u16,
        /// What it says of it, cut and cleaned.
        reason: String,
    },
    /// It said neither yes nor no.
    #[error("it answered {status} {reason}")]
    Failed {
        /// The status.
        status: u16,
        /// What it says of it, cut and cleaned.
        reason: String,
    },
    /// It is something else.
    #[error("it does not answer as an HTTP proxy does")]
    NotHttp,
    /// Its answer has no end.
    #[error("the head of its answer is over {} KiB", MAX_HEAD / 1024)]
    HeadTooLarge,
    /// Something came through the tunnel before we said anything, which no server of ours does.
    #[error("it sent data of its own behind its answer")]
    Chatty,
    /// It hung up.
    #[error("it closed the connection before it answered")]
    Closed,
    /// The connection to it broke.
    #[error("the connection to it broke")]
    Broken {
        /// What the system said.
        source: io::Error,
    },
    /// It said nothing for too long.
    #[error("no answer before the time for connecting was up")]
    Silent,
}

/// The most of the proxy's answer that is read.
const MAX_HEAD: usize = 16 * 1024;

/// The most answers of the kind that says that another will follow (RFC 9110 §15.2).
const MAX_INTERIM: usize = 8;

/// A tunnel to the target, which is a host and a port.
pub(super) async fn dial(
    proxy: &Proxy,
    policy: Policy,
    target: &str,
    clock: Clock,
) -> Result<Socket, Problem> {
    let mut socket =
        reach(proxy, policy, clock).await.map_err(|e| Problem::Unreachable(e.into()))?;
    let tunnel = ask(&mut socket, proxy.authorization.as_ref(), target);
    clock.limit(Step::Connect, target, tunnel).await.map_err(|_| Problem::Silent)??;
    Ok(socket)
}

async fn reach(proxy: &Proxy, policy: Policy, clock: Clock) -> Result<Socket, Error> {
    let at = format!("{}:{}", proxy.host, proxy.port);
    let host: Host =
        proxy.host.parse().map_err(|source| Error::Host { host: proxy.host.clone(), source })?;
    let addresses = resolve(&host, proxy.port, policy, &at, clock).await?;
    let stream = race(&addresses, policy, &at, clock).await?;
    let Some(tls) = &proxy.tls else {
        return Ok(Socket::Tcp(stream));
    };
    let tls = tls.current().map_err(|source| Error::Identity { at: at.clone(), source })?;
    let handshake = TlsConnector::from(tls).connect(server_name(&host)?, stream);
    let stream = clock.limit(Step::Handshake, &at, handshake).await?;
    Ok(Socket::Tls(Box::new(stream.map_err(|error| Error::handshake(at, error))?)))
}

/// Asks for a tunnel and waits for the yes.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    authorization: Option<&Secret>,
    target: &str,
) -> Result<(), Problem> {
    let broken = |source| Problem::Broken { source };
    let mut request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: pushbell/{}\r\n",
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    // Wiped once it is sent.
    let request = Secret::new(request);
    stream.write_all(request.expose()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut read = Vec::new();
    for _ in 0..=MAX_INTERIM {
        let end = head(stream, &mut read).await?;
        let (status, reason) = read.get(..end).and_then(status_line).ok_or(Problem::NotHttp)?;
        match status {
            // What follows a yes is the tunnel, whatever the head says of a body (RFC 9110 §9.3.6).
            200..=299 if read.len() == end => return Ok(()),
            200..=299 => return Err(Problem::Chatty),
            100..=199 => drop(read.drain(..end)),
            407 if authorization.is_some() => return Err(Problem::CredentialsRefused),
            407 => return Err(Problem::CredentialsMissing),
            401 | 403 | 405 => return Err(Problem::Forbidden { status, reason }),
            _ => return Err(Problem::Failed { status, reason }),
        }
    }
    Err(Problem::NotHttp)
}

/// Reads until there is a whole head, and says where it ends.
async fn head<S: AsyncRead + Unpin>(stream: &mut S, read: &mut Vec<u8>) -> Result<usize, Problem> {
    loop {
        if let Some(end) = end_of_head(read) {
            return Ok(end);
        }
        if !b"HTTP/1.".iter().zip(&*read).all(|(wanted, found)| wanted == found) {
            return Err(Problem::NotHttp);
        }
        if read.len() >= MAX_HEAD {
            return Err(Problem::HeadTooLarge);
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(0) => return Err(Problem::Closed),
            Ok(n) => read.extend_from_slice(piece.get(..n).unwrap_or_default()),
            Err(source) => return Err(Problem::Broken { source }),
        }
    }
}

/// Where the empty line behind the fields ends; a line may end in a line feed alone (RFC 9112 §2.2).
fn end_of_head(read: &[u8]) -> Option<usize> {
    let ends = read.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let mut after_line = None;
    for end in ends {
        let line = read.get(after_line.unwrap_or(0)..end).unwrap_or_default();
        if after_line.is_some() && matches!(line, b"\r\n" | b"\n") {
            return Some(end);
        }
        after_line = Some(end);
    }
    None
}

/// Status and reason of a head's first line.
fn status_line(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let (status, reason) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let digits = version.is_ascii_digit() && status.iter().all(u8::is_ascii_digit);
    let ends = reason.is_empty() || reason.starts_with(b" ");
    let status = std::str::from_utf8(status).ok().filter(|_| digits && ends)?.parse().ok()?;
    let reason = certs::printable(&String::from_utf8_lossy(reason.trim_ascii()));
    Some((status, reason))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;

    use super::*;

    /// What comes of an answer, and what the proxy was asked.
    async fn answered(answer: &[u8], authorization: Option<&str>) -> (Result<(), Problem>, String) {
        let (mut ours, mut theirs) = duplex(64 * 1024);
        let secret = authorization.map(|text| Secret::new(text.as_bytes().to_vec()));
        theirs.write_all(answer).await.unwrap();
        let (mut read, mut write) = tokio::io::split(theirs);
        write.shutdown().await.unwrap();
        let asked = ask(&mut ours, secret.as_ref(), "build.example.com:443").await;
        drop(ours);
        let mut request = String::new();
        read.read_to_string(&mut request).await.unwrap();
        (asked, request)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_and_nothing_else() {
        let (asked, request) = answered(b"HTTP/1.0 200 Connection established\r\n\r\n", None).await;
        asked.unwrap();
        let agent = concat!("User-Agent: pushbell/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            request,
            format!(
                "CONNECT build.example.com:443 HTTP/1.1\r\nHost: build.example.com:443\r\n{agent}\r\n\r\n"
            )
        );
        let (asked, request) = answered(b"HTTP/1.1 200\n\n", Some("Basic eDp5")).await;
        asked.unwrap();
        assert!(request.ends_with("\r\nProxy-Authorization: Basic eDp5\r\n\r\n"), "{request}");
    }

    #[tokio::test]
    async fn every_answer_of_a_proxy_has_its_words() {
        let endless = [&b"HTTP/1.1 200 ok\r\nX: "[..], &b"a".repeat(20_000)].concat();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(20);
        let table: &[(&[u8], Option<&str>, &str)] = &[
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", None, ""),
            (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 204 x\r\n\r\n", None, ""),
            (b"HTTP/1.1 407 Who?\r\n\r\n", None, "it asks for credentials (407)"),
            (b"HTTP/1.1 407 Who?\r\n\r\n", Some("Basic x"), "it does not accept our credentials"),
            (
                b"HTTP/1.1 403 Filtered\x1b[31m\r\n\r\n",
                None,
                "it answered 403 Filtered\\u{1b}[31m: it lets",
            ),
            (b"HTTP/1.1 503 \r\n\r\nbody", None, "it answered 503"),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
                None,
                "it answered 302 Found",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", None, "sent data of its own"),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n", None, "closed the connection"),
            (b"", None, "closed the connection"),
            (b"SSH-2.0-OpenSSH_9\r\n", None, "does not answer as an HTTP proxy"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", None, "does not answer as an HTTP proxy"),
            (b"HTTP/1.1 \xff\xff\xff OK\r\n\r\n", None, "does not answer as an HTTP proxy"),
            (b"HTTP/2.0 200 OK\r\n\r\n", None, "does not answer as an HTTP proxy"),
            (&endless, None, "over 16 KiB"),
            (&interim, None, "does not answer as an HTTP proxy"),
        ];
        for (answer, authorization, words) in table {
            let shown = String::from_utf8_lossy(answer).chars().take(60).collect::<String>();
            match answered(answer, *authorization).await.0 {
                Ok(()) => assert_eq!(*words, "", "{shown}"),
                Err(problem) => {
                    let told = problem.to_string();
                    assert!(!words.is_empty() && told.contains(words), "{shown}: {told}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_proxy_that_says_nothing_meets_the_deadline() {
        let (mut ours, _theirs) = duplex(1024);
        let clock = Clock::start(Duration::from_millis(20));
        let asked = clock.limit(Step::Connect, "x", ask(&mut ours, None, "h:1")).await;
        assert!(matches!(asked, Err(Error::Deadline { .. })));
    }
}

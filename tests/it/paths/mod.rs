//! Every push that the registry applies is seen, under the name the registry gave it, however its path is
//! spelled (delivery-guarantees 8.2, part 10 "path pairs").

mod generated;
mod written;

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::Sidecar;
use crate::support::Workdir;

/// An index of nothing: the smallest manifest that a registry stores with no blob before it.
const INDEX: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// A client that writes the target of its request as it is given.
struct Pusher {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// What it was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Pusher {
    fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Pushes the index to this target. A character below U+0100 is the byte of its number.
    fn put(&mut self, target: &str) -> Answer {
        self.ask("PUT", target, "")
    }

    fn ask(&mut self, method: &str, target: &str, lines: &str) -> Answer {
        let body = if method == "PUT" || method == "POST" { INDEX } else { "" };
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: evil.example\r\n\
             Content-Type: application/vnd.oci.image.index.v1+json\r\n{lines}{length}\r\n{body}"
        );
        let request: Vec<u8> =
            request.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            BufReader::new(stream)
        });
        stream.get_mut().write_all(&request).unwrap();
        let (answer, closes) = read(&mut stream, method);
        if !closes {
            self.stream = Some(stream);
        }
        answer
    }
}

/// Reads one answer, and whether it is the last of its connection.
fn read(stream: &mut BufReader<TcpStream>, method: &str) -> (Answer, bool) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("answered {line:?}"));
    let mut answer =
        Answer { status: status.parse().unwrap(), location: None, body: String::new() };
    let (mut length, mut chunked, mut closes) = (0, false, false);
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().unwrap(),
            ("location", value) => answer.location = Some(value.to_owned()),
            ("transfer-encoding", "chunked") => chunked = true,
            ("connection", "close") => closes = true,
            _ => {}
        }
    }
    if method == "HEAD" {
        return (answer, closes);
    }
    loop {
        if chunked {
            line.clear();
            stream.read_line(&mut line).unwrap();
            length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        }
        let mut piece = vec![0; length];
        stream.read_exact(&mut piece).unwrap();
        answer.body += &String::from_utf8_lossy(&piece);
        if chunked {
            stream.read_exact(&mut [0; 2]).unwrap();
        }
        if !chunked || length == 0 {
            break;
        }
    }
    (answer, closes)
}

/// A sidecar without TLS, which is not what these tests are about.
fn plain(work: &Workdir, upstream: &str) -> (Sidecar, SocketAddr) {
    let sidecar = Sidecar::with_file(
        work,
        &format!(
            "registry: {{ name: registry.example.com, upstream: \"{upstream}\" }}\n\
             listeners:\n  - {{ address: \"127.0.0.1:0\", serve: [registry] }}\n"
        ),
    );
    let address = sidecar.address("registry");
    (sidecar, address)
}

/// Repository and tag (or else digest) of each event so far, in their order.
fn events(sidecar: &Sidecar) -> Vec<(String, String)> {
    recorded(sidecar).into_iter().map(|(event, _)| event).collect()
}

/// The same, and whether it is known to have happened.
fn recorded(sidecar: &Sidecar) -> Vec<((String, String), bool)> {
    let printed = sidecar.printed();
    let recorded = printed.lines().filter(|line| line.contains("\"Event recorded\""));
    let events = recorded.map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().map(str::to_owned);
        let event = (field("repository").unwrap(), field("tag").or(field("digest")).unwrap());
        (event, line["outcome"] == "confirmed")
    });
    events.collect()
}

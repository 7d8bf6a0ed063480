use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::support::sha256;

use super::parsers::Understood;

/// A forwarder as many have been written: it finds out where each request ends, takes down what it was, and
/// passes the bytes on as they are. It is generous with what it reads, as one is told to be.
pub(super) struct Naive {
    address: SocketAddr,
    understood: Arc<Mutex<Vec<Understood>>>,
}

/// How long the other side may be silent before the forwarder leaves.
const SILENCE: Duration = Duration::from_secs(1);

impl Naive {
    pub(super) fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let understood: Arc<Mutex<Vec<Understood>>> = Arc::default();
        let (upstream, seen) = (upstream.to_owned(), Arc::clone(&understood));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let registry = TcpStream::connect(&upstream).unwrap();
                let seen = Arc::clone(&seen);
                thread::spawn(move || forward(client, registry, &seen));
            }
        });
        Self { address, understood }
    }

    /// Sends an input through it and waits until either side has had enough.
    pub(super) fn exchange(&self, input: &[u8]) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(input).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        stream.read_to_end(&mut Vec::new()).ok();
    }

    pub(super) fn understood(&self) -> Vec<Understood> {
        self.understood.lock().unwrap().clone()
    }
}

fn forward(mut client: TcpStream, mut registry: TcpStream, seen: &Mutex<Vec<Understood>>) {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).ok();
    let mut rest = &bytes[..];
    while let Some((understood, length)) = read(rest) {
        seen.lock().unwrap().push(understood);
        rest = &rest[length..];
    }
    registry.set_read_timeout(Some(SILENCE)).unwrap();
    registry.write_all(&bytes).ok();
    let mut answers = Vec::new();
    registry.read_to_end(&mut answers).ok();
    client.write_all(&answers).ok();
}

/// The first request of these bytes, and how many of them it is.
fn read(bytes: &[u8]) -> Option<(Understood, usize)> {
    let (mut at, mut first, mut length, mut chunked) = (0, None, None::<usize>, false);
    loop {
        let line = line(bytes, &mut at)?;
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let Some(_) = &first else {
            first = (!text.is_empty()).then_some(text);
            continue;
        };
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "content-length" => {
                let digits = value.trim().trim_start_matches('+');
                length = digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
            }
            "transfer-encoding" => chunked = value.contains("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if let Some(length) = length {
        body.extend(bytes.get(at..at.checked_add(length)?)?);
        at += length;
    } else if chunked {
        loop {
            let size = String::from_utf8_lossy(line(bytes, &mut at)?).into_owned();
            let size = size.split(|c: char| !c.is_ascii_hexdigit()).next()?;
            let size = usize::from_str_radix(size, 16).ok()?;
            body.extend(bytes.get(at..at.checked_add(size)?)?);
            at += size;
            while !line(bytes, &mut at)?.trim_ascii().is_empty() {}
            if size == 0 {
                break;
            }
        }
    }
    let first = first?;
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some((Understood { method, path, body: Some(sha256(&body)), taken: true }, at))
}

fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = &bytes[*at..];
    let end = rest.iter().position(|b| *b == b'\n')?;
    *at += end + 1;
    Some(&rest[..end])
}

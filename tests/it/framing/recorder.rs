use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

/// An upstream that writes down what it was asked, and says yes.
///
/// It reads HTTP/1.1 as strictly as it can be read: what is not exactly that is written down as garbage.
#[derive(Clone)]
pub(super) struct Recorder {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    /// The first line and the fields, byte for byte, with the empty line.
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// The longest body it takes.
const MOST: usize = 1 << 20;
/// The method of what is no HTTP.
pub(super) const GARBAGE: &str = "(garbage)";

impl Recorder {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let recorder = Self { address, requests: Arc::default() };
        let listening = recorder.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let recorder = listening.clone();
                thread::spawn(move || recorder.serve(&stream));
            }
        });
        recorder
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came so far, in the order in which it was complete.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(head) = read_head(&mut reader) {
            let Some(request) = read_request(head.clone(), &mut reader) else {
                // Cut off is not the same as broken: whoever waits for the end never acts on it.
                if reader.fill_buf().is_ok_and(|more| !more.is_empty()) {
                    self.keep(Request {
                        method: GARBAGE.to_owned(),
                        path: String::from_utf8_lossy(&head).into_owned(),
                        head,
                        body: Vec::new(),
                    });
                }
                return;
            };
            let answer = match request.method.as_str() {
                "PUT" => "201 Created",
                "DELETE" => "202 Accepted",
                _ => "200 OK",
            };
            self.keep(request);
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn keep(&self, request: Request) {
        self.requests.lock().unwrap().push(request);
    }
}

/// Everything up to an empty line, or nothing where the connection ends before.
fn read_head(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

fn read_request(head: Vec<u8>, reader: &mut impl Read) -> Option<Request> {
    let lines = head.strip_suffix(b"\r\n\r\n")?;
    // Each character a byte: what is above ASCII stays as it is.
    let text: String = lines.iter().map(|b| char::from(*b)).collect();
    let mut lines = text.split("\r\n");
    let [method, path, "HTTP/1.1"] = lines.next()?.split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_none() => length = Some(value.parse::<usize>().ok()?),
            "transfer-encoding" if value == "chunked" && !chunked => chunked = true,
            "content-length" | "transfer-encoding" => return None,
            _ => {}
        }
    }
    let body = match (length, chunked) {
        (Some(_), true) => return None,
        (length, false) => exactly(reader, length.unwrap_or_default())?,
        (None, true) => read_chunks(reader)?,
    };
    Some(Request { method, path, head, body })
}

fn read_chunks(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(exactly(reader, 1)?);
        }
        let size = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        body.extend(exactly(reader, size)?);
        if exactly(reader, 2)? != b"\r\n" {
            return None;
        }
        if size == 0 {
            return Some(body);
        }
    }
}

fn exactly(reader: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; Some(length).filter(|length| *length <= MOST)?];
    reader.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

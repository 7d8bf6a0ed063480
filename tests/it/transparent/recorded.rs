//! The registry hears what the client said, byte for byte, but for the headers that say whose request it is.

use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;

use fastrand::Rng;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;

use crate::support::Client;
use crate::support::Conversation;
use crate::support::Protocol;
use crate::support::Raw;
use crate::support::Said;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;

const REQUESTS: usize = 1000;
const HOST: &str = "registry.example.com";
const OURS: [&str; 4] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];
/// What says where a body ends is each hop's own.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// A request as a registry hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    line: String,
    /// Name and value of each header, in the order they came in.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

type Heard = Arc<Mutex<Vec<Request>>>;

/// A registry that says yes to everything and keeps it.
fn recording(heard: &Heard) -> Scripted {
    let heard = Arc::clone(heard);
    Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            let body = body(&head, &mut conversation);
            let mut lines = head.trim_end().split("\r\n");
            let line = lines.next().unwrap().to_owned();
            let headers: Vec<_> = lines
                .map(|line| line.split_once(':').unwrap())
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect();
            // Our own look at a tag is no request of the client's.
            let look = headers.iter().any(|(_, value)| value.starts_with("pushbell/"));
            if !look {
                heard.lock().unwrap().push(Request { line, headers, body });
            }
            conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

fn body(head: &str, conversation: &mut Conversation) -> Vec<u8> {
    let head = head.to_ascii_lowercase();
    let mut read = Vec::new();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        loop {
            let mut size = Vec::new();
            while !size.ends_with(b"\r\n") {
                size.extend(conversation.body(1));
            }
            let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16);
            let size = size.unwrap();
            read.extend(conversation.body(size));
            conversation.body(2);
            if size == 0 {
                return read;
            }
        }
    }
    if let Some((_, rest)) = head.split_once("\r\ncontent-length:") {
        let length = rest.lines().next().unwrap().trim().parse().unwrap();
        read = conversation.body(length);
    }
    read
}

/// A request nobody thought of.
fn any(rng: &mut Rng) -> Request {
    let methods = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"];
    let method = methods[rng.usize(..methods.len())];
    let bodied = matches!(method, "PUT" | "POST" | "PATCH");
    let path = match rng.u8(..8) {
        0 => format!("/v2/{}/manifests/{}", word(rng), word(rng)),
        1 => format!("/v2/{}/%6danifests/%61{}", word(rng), word(rng)),
        2 => "/v2/".to_owned() + if bodied || method == "DELETE" { "x" } else { "" },
        3 => format!("/{}/{}!$&'()*+,=:@~._-", word(rng), word(rng)),
        4 if !bodied && method != "DELETE" => {
            format!("/{}//../{};x=%2F%00%zz", word(rng), word(rng))
        }
        _ => format!("/v2/{}/blobs/uploads/{}%2F%25;", word(rng), word(rng)),
    };
    let query = match rng.u8(..4) {
        0 => format!("?digest=sha256:{}&_state={}%3D==", word(rng), word(rng)),
        1 => format!("?{}&&=&a[]='()*;:@/?!$,~|{{}}", word(rng)),
        2 => "?".to_owned(),
        _ => String::new(),
    };
    let mut headers = vec![("Host".to_owned(), HOST.to_owned())];
    let names = [
        "Accept",
        "ACCEPT",
        "accept-encoding",
        "Authorization",
        "User-Agent",
        "X-Own",
        "x-own",
        "X-oWN-tWO",
        "If-None-Match",
        "Range",
        "Content-Range",
        "Content-Type",
        "Cache-Control",
        "Traceparent",
        "Docker-Upload-UUID",
        "Cookie",
        "X-Registry-Auth",
        "Pragma",
        "Date",
        "Via",
        "Warning",
        "Origin",
        "DNT",
    ];
    for _ in 0..rng.usize(..12) {
        let name = names[rng.usize(..names.len())];
        // HTTP/1.1 has one line of cookies; several are HTTP/2's, and put together.
        let again = headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !(again && name == "Cookie") {
            headers.push((name.to_owned(), value(rng)));
        }
    }
    let length = if bodied { [0, 1, 100, 5000][rng.usize(..4)] } else { 0 };
    let mut body = vec![0; length];
    rng.fill(&mut body);
    if bodied && rng.bool() {
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    } else if bodied {
        headers.push(("Content-Length".to_owned(), length.to_string()));
    }
    Request { line: format!("{method} {path}{query} HTTP/1.1"), headers, body }
}

fn word(rng: &mut Rng) -> String {
    (0..rng.usize(1..9)).map(|_| rng.lowercase()).collect()
}

fn value(rng: &mut Rng) -> String {
    let length = [0, 1, 20, 300, 3000][rng.usize(..5)];
    let text: String = (0..length).map(|_| char::from(rng.u8(b' '..=b'~'))).collect();
    text.trim().to_owned()
}

impl Request {
    /// As HTTP/1.1 writes it.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(b"\r\n");
        if self.headers.iter().any(|(name, _)| name == "Transfer-Encoding") {
            for chunk in self.body.chunks(1999) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(&self.body);
        }
        bytes
    }

    /// What has to be the same: all but what is ours and each hop's.
    fn own(&self, spelling: Spelling) -> Self {
        let mut own = self.clone();
        for (name, _) in &mut own.headers {
            if spelling == Spelling::Lower {
                name.make_ascii_lowercase();
            }
        }
        own.headers.retain(|(name, _)| {
            let name = name.to_ascii_lowercase();
            let hop = OURS.contains(&&*name) || FRAMING.contains(&&*name) || name == "host";
            !hop
        });
        // Lines of one name keep their order; names among each other mean nothing by it (RFC 9110 §5.3).
        own.headers.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        own
    }

    fn values(&self, wanted: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| &**value).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    Kept,
    Lower,
}

#[test]
fn a_thousand_requests_arrive_as_they_were_sent() {
    let heard: Heard = Arc::default();
    let registry = recording(&heard);
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    let address = registry.url().replace("http://", "");
    let requests: Vec<Request> = {
        let mut rng = Rng::with_seed(3);
        (0..REQUESTS).map(|_| any(&mut rng)).collect()
    };

    let mut direct = TcpStream::connect(&address).unwrap();
    for request in &requests {
        direct.write_all(&request.bytes()).unwrap();
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            direct.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    let expected = std::mem::take(&mut *heard.lock().unwrap());
    assert_eq!(expected.len(), REQUESTS);
    for (request, expected) in requests.iter().zip(&expected) {
        assert_eq!(expected, request, "the script itself");
    }

    let mut raw = Raw::connect(&sidecar);
    for request in &requests {
        raw.send(request.bytes());
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 404 "), "{head} to {request:?}");
    }
    compare(&expected, &std::mem::take(&mut *heard.lock().unwrap()), Spelling::Kept, HOST);

    let mut client = Client::through(&sidecar, Protocol::Http2);
    for request in &requests {
        let mut words = request.line.split(' ');
        let method: Method = words.next().unwrap().parse().unwrap();
        let own = request.own(Spelling::Lower);
        let header = |(name, value): &(String, String)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = own.headers.iter().map(header).collect();
        let body = match request.values("transfer-encoding").is_empty() {
            true => Said::whole(request.body.clone()),
            false => Said::streamed(request.body.clone(), 999),
        };
        let answered = client.send(method, words.next().unwrap(), &headers, body).unwrap();
        assert_eq!(answered.status, 404, "{request:?}");
    }
    let host = sidecar.host();
    compare(&expected, &heard.lock().unwrap(), Spelling::Lower, &host);
}

/// The control: a header that goes missing on the way is missed, here one that the client itself declares
/// to be this hop's.
#[test]
fn a_header_that_does_not_arrive_is_noticed() {
    let heard: Heard = Arc::default();
    let registry = recording(&heard);
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    let headers = [("Host", HOST), ("Connection", "x-own"), ("X-Own", "1")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let line = "GET /v2/ HTTP/1.1".to_owned();
    let sent = Request { line, headers, body: Vec::new() };
    let mut raw = Raw::connect(&sidecar);
    raw.send(sent.bytes());
    raw.head();
    let heard = heard.lock().unwrap();
    assert_eq!(heard[0].line, sent.line);
    assert_ne!(heard[0].own(Spelling::Kept), sent.own(Spelling::Kept));
}

fn compare(expected: &[Request], heard: &[Request], spelling: Spelling, host: &str) {
    assert_eq!(heard.len(), expected.len());
    for (expected, heard) in expected.iter().zip(heard) {
        assert_eq!(heard.own(spelling), expected.own(spelling), "{spelling:?}");
        assert_eq!(heard.values("host"), [host]);
        assert_eq!(heard.values("x-forwarded-host"), [host]);
        assert_eq!(heard.values("x-forwarded-proto"), ["https"]);
        assert_eq!(heard.values("x-forwarded-for"), ["127.0.0.1"]);
        let framed: Vec<&str> = FRAMING.iter().flat_map(|name| heard.values(name)).collect();
        let bodied =
            !expected.values(FRAMING[0]).is_empty() || !expected.values(FRAMING[1]).is_empty();
        assert_eq!(framed.len(), usize::from(bodied), "{heard:?}");
    }
}

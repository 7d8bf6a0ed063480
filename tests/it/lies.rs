//! A registry that says what cannot be: nothing of it becomes an event that is not true, or the answer to
//! somebody else's question (threat T25).

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::support::Conversation;
use crate::support::Curl;
use crate::support::Reply;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Workdir;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What the client may hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hears {
    /// This status and this body.
    Answer(u16, &'static str),
    /// That there was no answer, or an answer that breaks off.
    Nothing,
}

/// What is said to a request, and what the client hears of it. The registry closes the connection behind it
/// unless it is to be found out that we do.
const LIES: [(&str, &str, Hears); 38] = [
    ("nothing", "", Hears::Nothing),
    ("half a status line", "HTTP/1.1 20", Hears::Nothing),
    ("half a head", "HTTP/1.1 201 Created\r\nContent-Le", Hears::Nothing),
    ("a head without its end", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n", Hears::Nothing),
    ("another protocol", "220 mail.example ESMTP\r\n", Hears::Nothing),
    ("HTTP/0.9", "<html>created</html>", Hears::Nothing),
    ("HTTP/2", "HTTP/2.0 201 Created\r\nContent-Length: 0\r\n\r\n", Hears::Nothing),
    ("HTTP/1.2", "HTTP/1.2 201 Created\r\nContent-Length: 0\r\n\r\n", Hears::Nothing),
    ("frames of HTTP/2", "\0\0\0\x04\0\0\0\0\0", Hears::Nothing),
    ("a status of two digits", "HTTP/1.1 20 Created\r\nContent-Length: 0\r\n\r\n", Hears::Nothing),
    (
        "a status of four digits",
        "HTTP/1.1 2010 Created\r\nContent-Length: 0\r\n\r\n",
        Hears::Nothing,
    ),
    ("a status of letters", "HTTP/1.1 abc Created\r\nContent-Length: 0\r\n\r\n", Hears::Nothing),
    ("a status below all", "HTTP/1.1 099 Created\r\nContent-Length: 0\r\n\r\n", Hears::Nothing),
    (
        "a switch nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "nothing but interim answers",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "two lengths",
        "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\nno",
        Hears::Nothing,
    ),
    ("a list of lengths", "HTTP/1.1 201 Created\r\nContent-Length: 0, 2\r\n\r\nno", Hears::Nothing),
    (
        "a length that is no number",
        "HTTP/1.1 201 Created\r\nContent-Length: x\r\n\r\n",
        Hears::Nothing,
    ),
    ("a length with a plus", "HTTP/1.1 201 Created\r\nContent-Length: +0\r\n\r\n", Hears::Nothing),
    (
        "a length beyond 64 bits",
        "HTTP/1.1 201 Created\r\nContent-Length: 99999999999999999999\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "a space before a colon",
        "HTTP/1.1 201 Created\r\nContent-Length : 0\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "a byte of nothing in a value",
        "HTTP/1.1 201 Created\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "a carriage return in a value",
        "HTTP/1.1 201 Created\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "a folded line",
        "HTTP/1.1 201 Created\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "a line without a colon",
        "HTTP/1.1 201 Created\r\nX\r\nContent-Length: 0\r\n\r\n",
        Hears::Nothing,
    ),
    (
        "a length shorter than the body",
        "HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nnonsense",
        Hears::Answer(400, "no"),
    ),
    (
        "two answers",
        "HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Hears::Answer(400, "no"),
    ),
    (
        "two answers in chunks",
        "HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        Hears::Answer(400, "no"),
    ),
    (
        "a length beside chunks",
        "HTTP/1.1 400 No\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        Hears::Answer(400, "no"),
    ),
    (
        "chunks beside a length",
        "HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        Hears::Answer(400, "no"),
    ),
    (
        "the same length twice",
        "HTTP/1.1 400 No\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno",
        Hears::Answer(400, "no"),
    ),
    (
        "a list of one length",
        "HTTP/1.1 400 No\r\nContent-Length: 2, 2\r\n\r\nno",
        Hears::Answer(400, "no"),
    ),
    ("no length", "HTTP/1.1 400 No\r\n\r\nno", Hears::Answer(400, "no")),
    (
        "a hop of its own",
        "HTTP/1.1 400 No\r\nConnection: close, x-own\r\nX-Own: 1\r\nKeep-Alive: timeout=9\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nno",
        Hears::Answer(400, "no"),
    ),
    (
        "trailers",
        "HTTP/1.1 400 No\r\nTrailer: X-Own\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nX-Own: 1\r\nContent-Length: 9\r\n\r\n",
        Hears::Answer(400, "no"),
    ),
    (
        "a length longer than the body",
        "HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\nno",
        Hears::Nothing,
    ),
    (
        "chunks without an end",
        "HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n",
        Hears::Nothing,
    ),
    (
        "a chunk size that is none",
        "HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nno\r\n0\r\n\r\n",
        Hears::Nothing,
    ),
];

/// One that lies to whoever asks for the repository `lie<number>`, and tells the truth to everybody else.
fn liar() -> Scripted {
    Scripted::start(move |mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("HEAD ") {
                conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            if head.starts_with("PUT ") {
                conversation.body(2);
            }
            if let Some((_, lie)) = head.split_once(" /v2/lie") {
                let number: usize = lie.split('/').next().unwrap().parse().unwrap();
                conversation.say(LIES[number].1);
                return;
            }
            conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntruth");
        }
    })
}

fn heard(reply: &Reply, hears: Hears) -> bool {
    match hears {
        Hears::Answer(status, body) => {
            let own = ["x-own", "keep-alive", "upgrade", "trailer"];
            (reply.status, &reply.body[..]) == (status, body.as_bytes())
                && reply.error.is_empty()
                && own.iter().all(|name| reply.header(name).is_none())
        }
        Hears::Nothing => reply.status == 502 || !reply.error.is_empty(),
    }
}

#[test]
fn what_cannot_be_is_no_answer_and_no_event() {
    let registry = liar();
    let work = Workdir::new();
    let mut sidecar = Sidecar::before(&work, &registry.url(), "");
    for protocol in ["--http1.1", "--http2"] {
        let curl = Curl::through(&work, &sidecar).with(&[protocol]);
        for (number, (name, _, hears)) in LIES.iter().enumerate() {
            let read = curl.get(&format!("/v2/lie{number}/tags/list"));
            assert!(heard(&read, *hears), "{protocol} {name}: {read:?}");
            let push = curl.put(&format!("lie{number}"), "1.0", IMAGE, b"{}");
            assert!(heard(&push, *hears), "{protocol} {name}, pushed: {push:?}");
            let truth = curl.get("/v2/truth/tags/list");
            let told = (truth.status, &truth.body[..]);
            assert_eq!(told, (200, &b"truth"[..]), "{protocol} after {name}");
        }
    }
    sidecar.stop();
    assert!(!sidecar.printed().contains("Event recorded"));
}

/// What comes behind an answer is nobody's answer: not even on the connection that it came on.
#[test]
fn a_second_answer_is_never_given_to_the_next_question() {
    let opened = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&opened);
    let registry = Scripted::start(move |mut conversation: Conversation| {
        counted.fetch_add(1, Ordering::SeqCst);
        while let Some(head) = conversation.head() {
            let path = head.split(' ').nth(1).unwrap();
            let length = path.len();
            conversation.say(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}\
                 HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            ));
        }
    });
    let work = Workdir::new();
    let sidecar = Sidecar::before(&work, &registry.url(), "");
    let curl = Curl::through(&work, &sidecar);
    for n in 0..20 {
        let path = format!("/v2/{n}");
        assert_eq!(curl.get(&path).body, path.as_bytes());
    }
    assert_eq!(opened.load(Ordering::SeqCst), 20, "each on a connection of its own");
}

/// The answer is there, and so is the end of the connection, while we still send.
#[test]
fn a_refusal_arrives_although_the_registry_hangs_up() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("HEAD ") {
                conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            conversation.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
            return conversation.reset();
        }
    });
    let work = Workdir::new();
    let mut sidecar = Sidecar::before(&work, &registry.url(), "");
    let curl = Curl::through(&work, &sidecar).with(&["--http1.1", "--header", "Expect:"]);
    let file = work.write("blob", vec![b'x'; 8 << 20]);
    let upload = ["--request", "PATCH", "--upload-file", file.to_str().unwrap()];
    for _ in 0..20 {
        let refused = curl.call("/v2/team/app/blobs/uploads/1", &upload);
        assert_eq!((refused.status, &refused.body[..]), (413, &b"no"[..]), "{refused:?}");
        let refused = curl.put("team/app", "1.0", IMAGE, &vec![b'x'; 3 << 20]);
        assert_eq!((refused.status, &refused.body[..]), (413, &b"no"[..]), "{refused:?}");
    }
    sidecar.stop();
    assert!(!sidecar.printed().contains("Event recorded"));
}

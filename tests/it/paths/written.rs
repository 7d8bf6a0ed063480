use std::io::BufReader;
use std::io::Write as _;
use std::net::TcpStream;

use crate::support::Registry;
use crate::support::Scripted;
use crate::support::Workdir;
use crate::support::sha256;

use super::INDEX;
use super::Pusher;
use super::events;
use super::plain;
use super::read;

/// What a path has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// The push of `team/app:a`, or of this one.
    Push(&'static str, &'static str),
    /// Something the registry never hears of.
    Refused,
    /// Something the registry answers, and no event.
    Nothing,
}

const SAME: Is = Is::Push("team/app", "a");

/// `@` is the digest of what is pushed, in hexadecimal.
const PATHS: [(&str, Is); 75] = [
    ("/v2/team/app/manifests/a", SAME),
    ("/v2/team/app/%6danifests/a", SAME),
    ("/v2/team/app/%6Danifests/a", SAME),
    ("/v2/team/app/%6d%61%6e%69%66%65%73%74%73/a", SAME),
    ("/v2/team/app/manifests/%61", SAME),
    ("/%762/team/app/manifests/a", SAME),
    ("/%76%32/team/app/manifests/a", SAME),
    ("/v2/%74eam/app/manifests/a", SAME),
    ("/v2/team/ap%70/manifests/a", SAME),
    ("http://evil.example/v2/team/app/manifests/a", SAME),
    ("https://evil.example/v2/team/app/manifests/%61", SAME),
    ("/v2/team/app/manifests/a?", SAME),
    ("/v2/team/app/manifests/a?x=/../b", SAME),
    ("/v2/team/app/manifests/a?tag=b", SAME),
    ("/v2/team/app/manifests/a%2db", Is::Push("team/app", "a-b")),
    ("/v2/team/app/manifests/a%2eb", Is::Push("team/app", "a.b")),
    ("/v2/team/app/manifests/A", Is::Push("team/app", "A")),
    ("/v2/team/app/manifests/manifests", Is::Push("team/app", "manifests")),
    ("/v2/team/manifests/manifests/a", Is::Push("team/manifests", "a")),
    ("/v2/manifests/manifests/manifests", Is::Push("manifests", "manifests")),
    ("/v2/team/app/manifests/tags", Is::Push("team/app", "tags")),
    ("/v2/team/blobs/uploads/manifests/a", Is::Push("team/blobs/uploads", "a")),
    ("/v2/team/tags/list/manifests/a", Is::Push("team/tags/list", "a")),
    ("/v2/v2/manifests/a", Is::Push("v2", "a")),
    ("/v2/team/a%2d-b/manifests/a", Is::Push("team/a--b", "a")),
    ("/v2/team/app/manifests/sha256:@", Is::Push("team/app", "sha256:@")),
    ("/v2/team/app/manifests/sha256%3A@", Is::Push("team/app", "sha256:@")),
    ("/v2/team/app/manifests/sha256%3a@", Is::Push("team/app", "sha256:@")),
    ("/v2/team/app/manifests/%73ha256:@", Is::Push("team/app", "sha256:@")),
    ("/v2/team%2Fapp/manifests/a", Is::Refused),
    ("/v2/team%2fapp/manifests/a", Is::Refused),
    ("/v2/team/app%2fmanifests/a", Is::Refused),
    ("/v2/team/app/manifests%2fa", Is::Refused),
    ("/v2/x/../team/app/manifests/a", Is::Refused),
    ("/v2/x/%2e%2e/team/app/manifests/a", Is::Refused),
    ("/v2/x/%2E./team/app/manifests/a", Is::Refused),
    ("/v2/team/./app/manifests/a", Is::Refused),
    ("/v2/team/%2e/app/manifests/a", Is::Refused),
    ("/v2//team/app/manifests/a", Is::Refused),
    ("//v2/team/app/manifests/a", Is::Refused),
    ("/v2/team/app/manifests//a", Is::Refused),
    ("/v2/team/app/manifests/a/", Is::Refused),
    ("/v2/team/app/%256danifests/a", Is::Refused),
    ("/v2/team/app/manifests/a%25", Is::Refused),
    ("/v2/team/app/manifests/a;x=1", Is::Refused),
    ("/v2/team/app;x=1/manifests/a", Is::Refused),
    ("/v2/team/app/manifests/a%3bx=1", Is::Refused),
    ("/v2/team\\app/manifests/a", Is::Refused),
    ("/v2/team%5capp/manifests/a", Is::Refused),
    ("/v2/team/app/manifests/a%00", Is::Refused),
    ("/v2/team/app/manifests/a%0d%0a", Is::Refused),
    ("/v2/team/app/manifests/a%7f", Is::Refused),
    ("/v2/team/app/manifests/%c3%a4", Is::Refused),
    ("/v2/team%c0%afapp/manifests/a", Is::Refused),
    ("/v2/team/app/manifests/\u{c3}\u{a4}", Is::Refused),
    ("/v2/team/app/manifests/sha256:00", Is::Refused),
    ("/v2/team/app/manifests/SHA256:@", Is::Refused),
    ("/v2/team/app/manifests/a:b", Is::Nothing),
    // The id of an upload is not ours to read, but who decodes it may find a push in it.
    ("/v2/team/blobs/uploads/x%2fmanifests%2fa", Is::Push("team/blobs/uploads/x", "a")),
    ("/v2/team/blobs/uploads/..%2f..%2fapp%2fmanifests%2fa", Is::Refused),
    ("/v2/team/blobs/uploads/x%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fapp%2fmanifests%2fa", Is::Refused),
    ("/v2/team/app/manifests/%zz", Is::Refused),
    ("/v2/team/app/manifests/a%", Is::Refused),
    ("/V2/team/app/manifests/a", Is::Nothing),
    ("/v2/team/app/Manifests/a", Is::Nothing),
    // The first of several components may be a host, and Distribution means it.
    ("/v2/Team/app/manifests/a", Is::Push("Team/app", "a")),
    ("/v2/EVIL.example/app/manifests/a", Is::Push("EVIL.example/app", "a")),
    ("/v2/evil.example:5000/app/manifests/a", Is::Nothing),
    ("/v2/App/manifests/a", Is::Nothing),
    ("/v2/team/App/manifests/a", Is::Nothing),
    ("/v2/team/a..b/manifests/a", Is::Nothing),
    ("/v2/manifests/a", Is::Nothing),
    ("/v2/team/app/manifests/a+b", Is::Nothing),
    ("/v2/team/app/manifests/.a", Is::Nothing),
    ("/v3/team/app/manifests/a", Is::Nothing),
];

#[test]
fn every_spelling_is_the_push_it_is_for_the_registry() {
    let work = Workdir::new();
    let mut registry = Registry::start(&work);
    let (mut sidecar, address) = plain(&work, &registry.url());
    let digest = sha256(INDEX.as_bytes());
    let hex = digest.strip_prefix("sha256:").unwrap();
    let mut client = Pusher::new(address);
    let mut direct = Pusher::new(registry.host().parse().unwrap());
    let mut expected = Vec::new();
    for (path, is) in PATHS {
        let path = path.replace('@', hex);
        let answer = client.put(&path);
        match is {
            Is::Push(repository, reference) => {
                assert_eq!(answer.status, 201, "{path}: {answer:?}");
                assert_eq!(direct.put(&path).status, 201, "{path}, directly");
                let location = format!("/v2/{repository}/manifests/{digest}");
                assert!(answer.location.unwrap().ends_with(&location), "{path}");
                expected.push((repository.to_owned(), reference.replace('@', hex)));
            }
            Is::Refused => {
                assert_eq!(answer.status, 400, "{path}: {answer:?}");
                assert!(answer.body.contains("NAME_INVALID"), "{path}: {answer:?}");
            }
            Is::Nothing => assert_ne!(answer.status, 201, "{path}: {answer:?}"),
        }
    }
    let overridden = client.ask(
        "POST",
        "/v2/team/app/manifests/overridden",
        "X-HTTP-Method-Override: PUT\r\nX-HTTP-Method: PUT\r\nX-Method-Override: PUT\r\n",
    );
    assert_eq!(overridden.status, 405, "{overridden:?}");
    sidecar.stop();
    assert_eq!(events(&sidecar), expected);
    registry.stop();
}

/// A registry that accepts everything, whatever it is asked.
fn accepting() -> Scripted {
    Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("HEAD ") {
                conversation.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            if head.starts_with("PUT ") || head.starts_with("POST ") {
                conversation.body(INDEX.len());
            }
            conversation.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

/// What the registry was asked, but for our own looks.
fn targets(registry: &Scripted) -> Vec<String> {
    let heads = registry.heads();
    let asked = heads.iter().filter(|head| !head.starts_with("HEAD "));
    asked.map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn a_fragment_is_refused() {
    let registry = accepting();
    let work = Workdir::new();
    let (mut sidecar, address) = plain(&work, &registry.url());
    let mut client = Pusher::new(address);
    for path in [
        "/v2/team/app/manifests/a#x",
        "/v2/team/app/manifests/b?y#x",
        "http://evil.example/v2/team/app/manifests/c#/../d",
        "/v2/team/app/manifests/d#",
        "#",
    ] {
        let answer = client.put(path);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body.contains("UNSUPPORTED"), "{path}: {answer:?}");
        // Behind a request that was served, the next one is read as closely.
        assert_eq!(client.ask("GET", "/v2/", "X: #\r\n").status, 201, "{path}");
    }
    // Nobody sees the line of a request that comes together with the one before: it is cut off for all.
    let put = |target: &str| {
        let length = INDEX.len();
        format!("PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{INDEX}")
    };
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    let both = put("/v2/team/app/manifests/e") + &put("/v2/team/app/manifests/f#x");
    stream.get_mut().write_all(both.as_bytes()).unwrap();
    for _ in 0..2 {
        assert_eq!(read(&mut stream, "PUT").0.status, 201);
    }
    sidecar.stop();
    let pushed: Vec<_> = targets(&registry).into_iter().filter(|target| target != "/v2/").collect();
    assert_eq!(pushed, ["/v2/team/app/manifests/e", "/v2/team/app/manifests/f"]);
    let told = events(&sidecar);
    let tags: Vec<_> = told.iter().map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(tags, ["e", "f"]);
}

/// What a registry serves beside `/v2/` is not ours to understand, so it passes, whatever is done to it.
#[test]
fn a_registrys_own_api_passes_byte_for_byte() {
    let registry = accepting();
    let work = Workdir::new();
    let (mut sidecar, address) = plain(&work, &registry.url());
    let mut client = Pusher::new(address);
    let calls = [
        ("POST", "/v2/"),
        ("POST", "/v2/token"),
        ("POST", "/service/token"),
        ("POST", "/c/login"),
        ("DELETE", "/api/v2.0/projects/p/repositories/a%252Fb"),
        ("PUT", "/api/v2.0/projects/p/repositories/a%252Fb"),
        ("POST", "/api/v2.0/projects/p/repositories/a%252Fb/artifacts/sha256%3A00/scan?x=%2f"),
        ("DELETE", "/api/v2.0/projects/p/repositories/a%252Fb/artifacts/sha256:00/tags/1%2f0"),
        ("POST", "/api/v2.0/projects/p/repositories/a%252Fb/artifacts?from=p/a%2Fb@sha256:00"),
        ("PUT", "/api/v1/packages/%C3%A4/container/a//b/../c;x=1"),
        ("POST", "/api/v1/repository/team/app/build/"),
        ("DELETE", "/v2/team%2Fapp/blobs/sha256:00"),
    ];
    for (method, path) in calls {
        let answer = client.ask(method, path, "");
        assert_eq!(answer.status, 201, "{method} {path}: {answer:?}");
    }
    sidecar.stop();
    assert_eq!(targets(&registry), calls.map(|(_, path)| path));
    assert_eq!(events(&sidecar), []);
}

#[test]
fn reads_pass_as_they_are_and_writes_that_are_sent_elsewhere_make_no_event() {
    let registry = Scripted::start(|mut conversation| {
        while let Some(head) = conversation.head() {
            if head.starts_with("PUT ") {
                conversation.body(INDEX.len());
            }
            conversation.say(
                "HTTP/1.1 301 Moved Permanently\r\nLocation: /v2/team/app/manifests/b\r\n\
                 Content-Length: 0\r\n\r\n",
            );
        }
    });
    let work = Workdir::new();
    let (mut sidecar, address) = plain(&work, &registry.url());
    let mut client = Pusher::new(address);
    let reads = [
        "/v2/team%2Fapp/manifests/a",
        "/v2/x/../app//manifests/./a",
        "/v2/x/%2e%2E/app;x=1/%256d%00%zz\\",
        "/v2/team/app/tags/list?n=1&last=%2F..%2f",
    ];
    for read in reads {
        assert_eq!(client.ask("GET", read, "").status, 301, "{read}");
    }
    assert_eq!(client.put("/v2/team/app/manifests/a").status, 301);
    assert_eq!(client.ask("DELETE", "/v2/team/app/manifests/a", "").status, 301);
    sidecar.stop();
    let heads = registry.heads();
    let targets: Vec<_> = heads
        .iter()
        .filter(|head| head.starts_with("GET "))
        .map(|head| head.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(targets, reads);
    assert_eq!(events(&sidecar), []);
}

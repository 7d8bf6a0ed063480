//! A name that resolves to something else the next time leads nowhere it must not.

use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::support::Curl;
use crate::support::Image;
use crate::support::Registry;
use crate::support::Resolver;
use crate::support::Sidecar;
use crate::support::Workdir;
use crate::support::until;
use crate::support::with_mounts;

/// Where the receiver is, which is allowed.
const GOOD: &str = "127.0.0.2";

/// Good the first time and refused from then on, or the other way round, by the name. A connect to an unspecified
/// address reaches this machine, at 127.0.0.1 or ::1.
fn answers(name: &str, before: usize) -> Vec<IpAddr> {
    let refused: &[&str] = match name.split('.').next().unwrap() {
        "metadata" => &["169.254.169.254", "::ffff:169.254.169.254"],
        "wrapped" => &["0.0.0.0", "64:ff9b::7f00:1"],
        _ => &["0.0.0.0", "::"],
    };
    let good_first = !name.contains(".later.");
    // Each kind of address is asked for once in each resolution.
    let good = if good_first { before == 0 } else { before == 1 };
    let found = if good { &[GOOD][..] } else { refused };
    found.iter().map(|address| address.parse().unwrap()).collect()
}

/// Answers 200 to everything and counts.
fn count(listener: TcpListener) -> Arc<AtomicUsize> {
    let connections: Arc<AtomicUsize> = Arc::default();
    let seen = Arc::clone(&connections);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            seen.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || answer(stream));
        }
    });
    connections
}

fn answer(mut stream: TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if read.len() >= head.len() + 4 + length {
                break;
            }
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            n => read.extend(&piece[..n]),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()
}

/// The receiver, and the traps at the same port where refused addresses lead.
fn listeners() -> (u16, TcpListener, [TcpListener; 2]) {
    until("a port that is free at all three", || {
        let receiver = TcpListener::bind((GOOD, 0)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let traps =
            [TcpListener::bind(("127.0.0.1", port)).ok()?, TcpListener::bind(("::1", port)).ok()?];
        Some((port, receiver, traps))
    })
}

#[test]
fn a_name_that_changes_between_check_and_connect_leads_nowhere_it_must_not() {
    let Some(resolver) = Resolver::start(answers) else {
        return;
    };
    let work = Workdir::new();
    let registry = Registry::start(&work);
    let (port, receiver, traps) = listeners();
    let taken = count(receiver);
    let trapped = traps.map(count);
    let trapped = || trapped.iter().map(|trap| trap.load(Ordering::SeqCst)).sum::<usize>();
    let mut yaml = format!(
        "registry: {{ name: registry.example.com, upstream: \"{}\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost] }} }} }}\n\
         listeners:\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry }}\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\nendpoints:\n",
        registry.url()
    );
    let kinds = ["plain", "metadata", "wrapped"];
    for kind in kinds {
        for when in ["first", "later"] {
            yaml += &format!(
                "  - {{ name: {kind}-{when}, url: \"http://{kind}.{when}.test:{port}/\", insecure_http: true }}\n"
            );
        }
    }
    let sidecar = Sidecar::behind_mounts(&work, &yaml, &resolver.mounts(&work));
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.push("team/app", "1.0", &Image::new(&work, "rebinding")).status, 201);
    // The first ones were good when they were checked, and stay what they were.
    for kind in kinds {
        let endpoint = format!("{kind}-first");
        let line = sidecar.wait_for_log(
            &endpoint,
            &[("message", "Attempt ended"), ("endpoint", &endpoint), ("attempt", "1")],
        );
        assert_eq!(line["outcome"], "taken", "{line}");
        // The others were not, and are the next time, when the probe of the failing endpoint asks anew.
        let endpoint = format!("{kind}-later");
        let line = sidecar.wait_for_log(
            &endpoint,
            &[("message", "Attempt ended"), ("endpoint", &endpoint), ("attempt", "1")],
        );
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("which may not be dialled from here"), "{line}");
    }
    assert_eq!((taken.load(Ordering::SeqCst), trapped()), (kinds.len(), 0));
    assert_eq!(resolver.asked("plain.first.test"), 1, "once for each attempt, and never between");

    // The control: who checks a name and then connects by it is led astray by this very resolver.
    let naive = format!(
        "python3 - <<'EOF'\n\
         import socket\n\
         found = socket.getaddrinfo('naive.first.test', {port}, type=socket.SOCK_STREAM)\n\
         assert [a[4][0] for a in found] == ['{GOOD}'], found\n\
         socket.create_connection(('naive.first.test', {port}))\n\
         EOF\n"
    );
    with_mounts(&(resolver.mounts(&work) + &naive)).ok();
    until("the trap to be seen", || (trapped() == 1).then_some(()));
}

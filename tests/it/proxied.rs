//! A load balancer in front tells by the PROXY protocol who the client is.

use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use crate::support::Curl;
use crate::support::Image;
use crate::support::Process;
use crate::support::Scripted;
use crate::support::Sidecar;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::until;

/// In front of this registry, with a listener that has these keys more.
fn sidecar(work: &Workdir, upstream: &str, keys: &str, more: &str) -> Sidecar {
    let yaml = format!(
        "registry: {{ name: localhost, upstream: \"{upstream}\" }}\n\
         identities: {{ registry: {{ local_ca: {{ names: [localhost, 127.0.0.1] }} }} }}\n\
         listeners:\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [registry], identity: registry, {keys} }}\n\
         \x20 - {{ address: \"127.0.0.1:0\", serve: [admin] }}\n{more}"
    );
    Sidecar::with_file(work, &yaml)
}

fn obliging() -> Scripted {
    Scripted::start(|mut conversation| {
        while conversation.head().is_some() {
            conversation.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

/// HAProxy in front of the sidecar, passing on bytes behind a header of its own.
fn haproxy(work: &Workdir, sidecar: &Sidecar, how: &str) -> (Process, u16) {
    for _ in 0..20 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen front\n bind 127.0.0.1:{port}\n server pushbell {} {how}\n",
            sidecar.address("registry")
        );
        let file = work.write(&format!("haproxy-{how}.cfg"), config);
        let mut process = Process::start(Command::new("haproxy").arg("-db").arg("-f").arg(file));
        let up = until("HAProxy to listen", || {
            let listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
            if listens { Some(true) } else { process.ended().map(|_| false) }
        });
        if up {
            return (process, port);
        }
    }
    panic!("no free port for HAProxy in 20 attempts");
}

#[test]
fn an_event_names_the_client_that_haproxy_saw() {
    let mut stage = Stage::open();
    let yaml = std::fs::read_to_string(stage.work.join("pushbell.yaml")).unwrap();
    stage.sidecar.kill();
    let yaml = yaml.replace(
        "identity: registry }",
        "identity: registry, proxy_protocol: true, trusted_proxies: [127.0.0.1/32] }",
    );
    stage.sidecar = Sidecar::with_file(&stage.work, &yaml);
    for (n, how) in ["send-proxy", "send-proxy-v2"].into_iter().enumerate() {
        let (_haproxy, port) = haproxy(&stage.work, &stage.sidecar, how);
        let address = format!("127.0.0.{}", n + 2);
        let curl = Curl::direct(&stage.work, &format!("https://localhost:{port}")).with(&[
            "--cacert",
            stage.sidecar.ca().to_str().unwrap(),
            "--interface",
            &address,
            "--ipv4",
        ]);
        let image = Image::new(&stage.work, how);
        let pushed = curl.push("team/app", how, &image);
        assert_eq!(pushed.status, 201, "{pushed:?}");
        let requests = stage.receiver.wait_for(n + 1);
        let data = &requests[n].json()["data"];
        assert_eq!(data["tag"], how);
        assert_eq!(data["request"]["address"], address.as_str());
    }
}

#[test]
fn the_registry_hears_of_the_client_that_the_header_names() {
    let registry = obliging();
    let work = Workdir::new();
    let sidecar = sidecar(&work, &registry.url(), "proxy_protocol: true", "");
    sidecar.wait_for_log("that anybody may claim anything", &[("level", "WARN")]);
    let curl = Curl::through(&work, &sidecar);
    assert_eq!(curl.call("/v2/", &["--haproxy-protocol"]).status, 200);
    assert!(
        registry.heads()[0].contains("x-forwarded-for: 127.0.0.1\r\n"),
        "{:?}",
        registry.heads()
    );
    // What no client of this test can do by itself.
    let plain = curl.get("/v2/");
    assert_eq!(plain.status, 0, "no header, no service: {plain:?}");
    assert_eq!(registry.heads().len(), 1);
    let metrics = Curl::direct(&work, &sidecar.admin("")).get("/metrics").text();
    let counted = "connections_refused_total{reason=\"proxy_protocol\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_header_that_says_nothing_clear_closes_the_connection() {
    let registry = obliging();
    let work = Workdir::new();
    let limits = "limits: { handshake: 1s }\n";
    let sidecar = sidecar(&work, &registry.url(), "proxy_protocol: true", limits);
    let closed = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(sidecar.address("registry")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let began = Instant::now();
        stream.write_all(bytes).unwrap();
        // A connection with something unread is reset.
        assert_eq!(stream.read(&mut [0; 16]).unwrap_or_default(), 0);
        began.elapsed()
    };
    let long = [b'x'; 200];
    for bytes in [
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n".as_slice(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01x",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        &[b"PROXY UNKNOWN ", &long[..]].concat(),
    ] {
        assert!(closed(bytes) < Duration::from_secs(1), "at once: {bytes:?}");
    }
    for bytes in [b"".as_slice(), b"PROXY TCP4 1.2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0cx"] {
        let took = closed(bytes);
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
    }
    // A header and a silent handshake share one deadline.
    let took = closed(b"PROXY UNKNOWN\r\n");
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn only_who_is_trusted_may_name_a_client() {
    let registry = obliging();
    let work = Workdir::new();
    let keys = "proxy_protocol: true, trusted_proxies: [127.0.0.9/32]";
    let sidecar = sidecar(&work, &registry.url(), keys, "");
    let curl = Curl::through(&work, &sidecar).with(&["--haproxy-protocol", "--ipv4"]);
    assert_eq!(curl.get("/v2/").status, 0);
    sidecar.wait_for_log("who was refused", &[("level", "WARN"), ("peer", "127.0.0.1")]);
    let trusted = curl.call("/v2/", &["--interface", "127.0.0.9"]);
    assert_eq!(trusted.status, 200, "{trusted:?}");
    assert_eq!(registry.heads().len(), 1);
}

//! An endpoint behind a proxy is told through it, and never blamed for it.

use std::process::Command;

use crate::support::Image;
use crate::support::Process;
use crate::support::Scripted;
use crate::support::Stage;
use crate::support::Workdir;
use crate::support::free_port;
use crate::support::until;

const PASSWORD: &str = "only-the-proxy-knows";

/// Debian's tinyproxy, which wants to know who comes.
fn tinyproxy(work: &Workdir, port: u16) -> Process {
    let file = work.write(
        "tinyproxy.conf",
        format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nAllow 127.0.0.1\n\
             BasicAuth pushbell {PASSWORD}\nLogLevel Connect\n"
        ),
    );
    let process = Process::start(Command::new("tinyproxy").arg("-d").arg("-c").arg(file));
    until("the proxy to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    process
}

fn metric(stage: &Stage, line: &str) -> Option<u64> {
    let page = stage.admin().get("/metrics").text();
    page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn an_endpoint_behind_a_proxy_is_told_through_it_and_not_blamed_for_it() {
    let (aside, port) = (Workdir::new(), free_port());
    let mut proxy = tinyproxy(&aside, port);
    let password = aside.write_secret("password", PASSWORD);
    let stage = Stage::with_endpoint(&format!(
        "proxy: {{ url: \"http://127.0.0.1:{port}\", username: pushbell, password_file: \"{}\" }}\n",
        password.display()
    ));
    let image = Image::new(&stage.work, "egress");
    assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
    let told = stage.receiver.wait_for(1);
    assert_eq!(
        told[0].peer.as_deref(),
        Some("pushbell"),
        "TLS is with the receiver, not the proxy"
    );
    let through = format!("CONNECT {}", stage.receiver.url("").trim_start_matches("https://"));
    // Cut off before the answer is through, nobody could say who was to blame.
    stage.sidecar.wait_for_log("the answer", &[("message", "Attempt ended"), ("outcome", "taken")]);
    until("the proxy's own word for it", || {
        proxy.lines().iter().any(|line| line.contains(&through)).then_some(())
    });

    proxy.kill();
    assert_eq!(stage.curl().push("team/app", "2.0", &image).status, 201);
    stage.sidecar.wait_for_log(
        "whose failure it is",
        &[
            ("message", "The proxy of the endpoint is failing, its events wait"),
            ("endpoint", "build"),
        ],
    );
    let ready = stage.admin().get("/readyz");
    assert_eq!(ready.status, 200);
    for words in ["\"part\":\"proxy\"", "build is cut off by its proxy: no way to 127.0.0.1:"] {
        assert!(ready.text().contains(words), "{words}: {}", ready.text());
    }
    let attempts = "pushbell_delivery_attempts_total{endpoint=\"build\",outcome=";
    assert_eq!(metric(&stage, &format!("{attempts}\"proxy\"}}")), Some(1));
    assert_eq!(metric(&stage, &format!("{attempts}\"endpoint\"}}")), None, "it is not blamed");
    let state = "pushbell_delivery_endpoint_state{endpoint=\"build\",state=";
    assert_eq!(metric(&stage, &format!("{state}\"cut_off\"}}")), Some(1));
    assert_eq!(metric(&stage, &format!("{state}\"failing\"}}")), Some(0));

    let _proxy = tinyproxy(&aside, port);
    assert_eq!(stage.receiver.wait_for(2)[1].json()["data"]["tag"], "2.0");
    until("nothing to be wrong any more", || {
        (!stage.admin().get("/readyz").text().contains("cut off")).then_some(())
    });
    assert!(!stage.sidecar.printed().contains(PASSWORD), "it is nobody's to read");
}

#[test]
fn what_is_wrong_with_a_proxy_is_told_and_the_receiver_hears_nothing() {
    for (answer, told) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "it asks for credentials (407)"),
        ("HTTP/1.1 403 Filtered\r\n\r\n", "it answered 403 Filtered: it lets nobody through"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "it answered 503 Service Unavailable"),
        ("220 smtp.example.com\r\n", "it does not answer as an HTTP proxy does"),
        ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", "it sent data of its own"),
        ("", "no answer before the time for connecting was up"),
    ] {
        let proxy = Scripted::start(move |mut conversation| {
            if conversation.head().is_some() {
                conversation.say(answer);
                conversation.head();
            }
        });
        let stage =
            Stage::with_endpoint(&format!("timeout: 1s\nproxy: {{ url: \"{}\" }}\n", proxy.url()));
        let image = Image::new(&stage.work, "wrong");
        assert_eq!(stage.curl().push("team/app", "1.0", &image).status, 201);
        let line = stage.sidecar.wait_for_log(
            told,
            &[("message", "The proxy of the endpoint is failing, its events wait")],
        );
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.starts_with("no way to 127.0.0.1:") && reason.contains(told), "{reason}");
        assert!(proxy.heads()[0].starts_with("CONNECT 127.0.0.1:"), "{:?}", proxy.heads());
        assert!(stage.receiver.requests().is_empty());
    }
}

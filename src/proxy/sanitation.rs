//! Whatever passes the checks goes out clean: random heads of what attacks are made of.

use fastrand::Rng;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use http::header;
use http::request::Parts;

use crate::listener::Peer;
use crate::listener::Transport;

use super::framing;
use super::headers;
use super::headers::Client;

const SEED: u64 = 0x6865_6164;
const HEADS: usize = 20_000;

/// What belongs to one hop, what only a proxy may say, and what frames.
const NEVER: [&str; 20] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-artifactory-override-base-url",
    "x-forwarded-prefix",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const OTHERS: [&str; 12] = [
    "host",
    "host",
    "authorization",
    "content-type",
    "content-encoding",
    "content_length",
    "cookie",
    "range",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-own",
    "x_forwarded_for",
];
const VALUES: [&str; 16] = [
    "",
    "r",
    "r",
    "r:5000",
    "7",
    "7, 7",
    "chunked",
    "close",
    "close, x-own",
    "keep-alive,x-other",
    "host",
    "authorization , close",
    "100-continue",
    "trailers",
    "evil@r",
    "192.0.2.1",
];

fn head(rng: &mut Rng) -> Parts {
    let target = ["/v2/", "http://r/v2/", "http://evil/", "*"][rng.usize(0..4)];
    let method = ["GET", "PUT", "DELETE", "put", "TRACE", "OPTIONS"][rng.usize(0..6)];
    let mut request = Request::builder().method(method).uri(target);
    if rng.u8(0..4) > 0 {
        request = request.header("host", "r");
    }
    for _ in 0..rng.usize(0..6) {
        let names = if rng.bool() { &NEVER[..] } else { &OTHERS[..] };
        let name = names[rng.usize(0..names.len())];
        let mut value = VALUES[rng.usize(0..VALUES.len())].as_bytes().to_vec();
        if rng.u8(0..8) == 0 {
            value.insert(
                rng.usize(0..=value.len()),
                [b'\t', b' ', 0xa0, b',', b'"'][rng.usize(0..5)],
            );
        }
        request = request.header(name, HeaderValue::from_bytes(&value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

/// Everything that `Connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(header::CONNECTION).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|b| *b == b','));
    elements.filter_map(|e| HeaderName::from_bytes(e.trim_ascii()).ok()).collect()
}

#[test]
fn whatever_passes_the_checks_goes_out_clean() {
    let mut rng = Rng::with_seed(SEED);
    let address = Some("198.51.100.7".parse().unwrap());
    let peer = Peer { address, transport: Transport::Tls };
    let line = HeaderValue::from_static("198.51.100.7");
    let mut passed = 0;
    for _ in 0..HEADS {
        let parts = head(&mut rng);
        if framing::check(&parts).is_err() {
            continue;
        }
        passed += 1;
        let client = Client::of(&peer, &[], &parts.headers);
        let authority = headers::authority(&parts, "registry.example.com");
        let mut sent = parts.headers.clone();
        headers::to_upstream(&mut sent, &client, &authority, Some(&line));
        for name in NEVER {
            assert!(!sent.contains_key(name), "{name} of {:?}", parts.headers);
        }
        for name in sent.keys() {
            assert!(!name.as_str().contains('_'), "{name} of {:?}", parts.headers);
        }
        let ours = ["host", "x-forwarded-for", "x-forwarded-host"];
        for name in named(&parts.headers).iter().filter(|name| !ours.contains(&name.as_str())) {
            assert!(!sent.contains_key(name), "{name} of {:?}", parts.headers);
        }
        for (name, value) in ours.into_iter().zip([&authority, &line, &authority]) {
            let lines: Vec<_> = sent.get_all(name).iter().collect();
            assert_eq!(lines, [value], "{name} of {:?}", parts.headers);
        }
        for name in ["authorization", "content-type", "content-encoding", "range"] {
            assert_eq!(sent.contains_key(name), parts.headers.contains_key(name), "{name}");
        }
        // Nothing of ours is refused by the next of us.
        let mut next = parts.clone();
        next.headers.clone_from(&sent);
        let again = framing::check(&next);
        assert!(again.is_ok(), "{again:?}: {sent:?} of {:?}", parts.headers);
    }
    assert!(passed > HEADS / 20 && passed < HEADS / 2, "{passed} passed");
}

use http::HeaderValue;
use http::Version;
use http::header;
use http_body_util::BodyExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::event::schema::tests::sample;

use super::super::Answers;
use super::super::Error;
use super::super::attempt::Answer;
use super::super::attempt::Client;
use super::super::attempt::Ended;
use super::super::attempt::escaped;
use super::super::retry::Verdict;
use super::super::sign;
use super::*;

/// One exchange about the sample event.
async fn exchange(endpoint: &Endpoint) -> Result<Answer, Error> {
    let request = endpoint.request(&sample(), "dlv_1", now()).unwrap();
    Client::new(endpoint).exchange(request).await
}

/// A body that never ends.
fn endless() -> Body {
    let chunk = || Ok(Frame::data(Bytes::from(vec![b'x'; 16 * 1024])));
    StreamBody::new(futures_util::stream::repeat_with(chunk)).boxed_unsync()
}

#[tokio::test]
async fn an_event_is_told_in_either_protocol() {
    let pki = Pki::new();
    for (alpn, version) in [(HTTP1, Version::HTTP_11), (H2, Version::HTTP_2)] {
        let mut receiver = Receiver::http(&pki, Demand::Anybody, alpn, |_, _| status(204)).await;
        let mut endpoint = pki.endpoint(receiver.address, alpn, None);
        endpoint.headers = vec![
            (HeaderName::from_static("x-team"), HeaderValue::from_static("platform")),
            (header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
            (HeaderName::from_static("webhook-id"), HeaderValue::from_static("forged")),
        ];
        let (event, at) = (sample(), now());
        let client = Client::new(&endpoint);
        for _ in 0..3 {
            let request = endpoint.request(&event, "dlv_1", at).unwrap();
            let sent = request.body().clone();
            let ended = Ended::of(&client.exchange(request).await, Answers::Plain, at);
            assert_eq!(ended.verdict, Verdict::Taken, "{}", ended.detail);
            let request = receiver.requests.recv().await.unwrap();
            assert_eq!((request.version(), request.method().as_str()), (version, "POST"));
            assert_eq!(request.uri().path_and_query().unwrap(), "/hook?team=platform");
            assert_eq!(request.body(), &sent);
            let header = |name| request.headers().get(name).map(|v| v.to_str().unwrap());
            assert_eq!(header("webhook-id"), Some("dlv_1"));
            assert_eq!(header("webhook-timestamp"), Some(&*at.unix_timestamp().to_string()));
            assert_eq!(header("x-team"), Some("platform"));
            assert_eq!(header("user-agent"), Some(concat!("pushbell/", env!("CARGO_PKG_VERSION"))));
            assert_eq!(header("accept-encoding"), None);
            let secret = Secret::new(SECRET.to_vec());
            let tolerance = Duration::from_secs(60);
            let scheme = Scheme::StandardWebhooks;
            sign::verify(scheme, &secret, request.headers(), request.body(), at, tolerance)
                .unwrap();
        }
        assert!(receiver.ended.try_recv().is_err(), "one connection served all three");
    }
}

#[tokio::test]
async fn the_configuration_has_the_last_word_on_content_type_and_user_agent() {
    let pki = Pki::new();
    let mut endpoint = pki.endpoint(([127, 0, 0, 1], 1).into(), HTTP1, None);
    endpoint.signer = None;
    endpoint.headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::USER_AGENT, HeaderValue::from_static("AzureContainerRegistry")),
        (HeaderName::from_static("x-tag"), HeaderValue::from_static("a")),
        (HeaderName::from_static("x-tag"), HeaderValue::from_static("b")),
    ];
    let request = endpoint.request(&sample(), "dlv_1", now()).unwrap();
    let all = |name| {
        let values = request.headers().get_all(name).iter();
        values.map(|v| v.to_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(all("content-type"), ["application/json"]);
    assert_eq!(all("user-agent"), ["AzureContainerRegistry"]);
    assert_eq!(all("x-tag"), ["a", "b"]);
    assert_eq!(all("webhook-id"), ["dlv_1"]);
    assert!(all("webhook-signature").is_empty());
}

#[tokio::test]
async fn each_answer_means_what_it_should() {
    let pki = Pki::new();
    let answer = |_: usize, request: &Request<Bytes>| {
        let mut response = status(request.headers()["x-status"].to_str().unwrap().parse().unwrap());
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("120"));
        headers.insert(header::LOCATION, HeaderValue::from_static("/elsewhere"));
        *response.body_mut() = body::full("no\u{1b}[2J\nmore");
        response
    };
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, answer).await;
    for (status, verdict) in [
        ("200", Verdict::Taken),
        ("302", Verdict::Unavailable),
        ("307", Verdict::Unavailable),
        ("400", Verdict::Refused),
        ("401", Verdict::Misdirected),
        ("410", Verdict::Gone),
        ("429", Verdict::Unavailable),
        ("500", Verdict::Unavailable),
    ] {
        let mut endpoint = pki.endpoint(receiver.address, HTTP1, None);
        let value = HeaderValue::from_static(status);
        endpoint.headers = vec![(HeaderName::from_static("x-status"), value)];
        let ended = Ended::of(&exchange(&endpoint).await, Answers::Plain, now());
        assert_eq!(ended.verdict, verdict, "{status}");
        assert_eq!(ended.status.unwrap().as_str(), status);
        assert_eq!(ended.retry_after, Some(Duration::from_secs(120)));
        assert!(ended.detail.ends_with(r": no\u{1b}[2J\nmore"), "{}", ended.detail);
        assert_eq!(receiver.requests.recv().await.unwrap().uri().path(), "/hook");
        assert!(receiver.requests.try_recv().is_err(), "{status} was followed");
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_costs_the_deadline() {
    let pki = Pki::new();
    let receiver = Receiver::raw(&pki, |mut stream: Stream| async move {
        let mut sink = [0; 1024];
        while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let mut endpoint = pki.endpoint(receiver.address, HTTP1, None);
    endpoint.timeout = Duration::from_millis(200);
    let error = exchange(&endpoint).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    assert_eq!(error.words(), "no answer within 200ms");
}

#[tokio::test]
async fn a_head_without_end_is_not_read_to_its_end() {
    let pki = Pki::new();
    let mut receiver = Receiver::raw(&pki, |mut stream: Stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"x-more: of the same, and again and again\r\n").await.is_ok() {}
    })
    .await;
    let error = exchange(&pki.endpoint(receiver.address, HTTP1, None)).await.unwrap_err();
    assert!(matches!(error, Error::HeadTooLarge), "{error:?}");
    receiver.ended.recv().await.unwrap();
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_over_http_2() {
    let pki = Pki::new();
    let answer = |_: usize, _: &Request<Bytes>| {
        let mut response = status(200);
        for _ in 0..64 {
            let value = HeaderValue::try_from("x".repeat(1024)).unwrap();
            response.headers_mut().append("x-more", value);
        }
        response
    };
    let receiver = Receiver::http(&pki, Demand::Anybody, H2, answer).await;
    let error = exchange(&pki.endpoint(receiver.address, H2, None)).await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. } | Error::HeadTooLarge), "{error:?}");
}

#[tokio::test]
async fn a_body_without_end_counts_by_its_head_and_costs_the_connection() {
    let pki = Pki::new();
    let answer = |_: usize, _: &Request<Bytes>| status(201).map(|_| endless());
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, answer).await;
    let answer = exchange(&pki.endpoint(receiver.address, HTTP1, None)).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len()), (201, 4096));
    receiver.ended.recv().await.unwrap();
}

#[tokio::test]
async fn a_body_without_end_is_never_far_ahead_of_what_is_read() {
    let pki = Pki::new();
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let answer = move |_: usize, _: &Request<Bytes>| {
        let made = Arc::clone(&count);
        let chunk = move || {
            made.fetch_add(16, Ordering::SeqCst);
            Ok(Frame::data(Bytes::from(vec![b'x'; 16 * 1024])))
        };
        let body = StreamBody::new(futures_util::stream::repeat_with(chunk));
        status(200).map(|_| body.boxed_unsync())
    };
    let receiver = Receiver::http(&pki, Demand::Anybody, H2, answer).await;
    exchange(&pki.endpoint(receiver.address, H2, None)).await.unwrap();
    let kib = made.load(Ordering::SeqCst);
    // What was read, one window beyond it, and what the receiver itself has in hand.
    assert!(kib <= 64 + 64 + 512, "{kib} KiB were asked for");
}

#[tokio::test]
async fn a_body_that_is_late_costs_no_more_than_its_connection() {
    let pki = Pki::new();
    for alpn in [HTTP1, H2] {
        let answer = |_: usize, _: &Request<Bytes>| {
            let never = StreamBody::new(futures_util::stream::pending());
            status(200).map(|_| never.boxed_unsync())
        };
        let receiver = Receiver::http(&pki, Demand::Anybody, alpn, answer).await;
        let mut endpoint = pki.endpoint(receiver.address, alpn, None);
        endpoint.timeout = Duration::from_secs(3600);
        let ended = Ended::of(&exchange(&endpoint).await, Answers::Plain, now());
        assert_eq!(ended.verdict, Verdict::Taken, "{}", ended.detail);
    }
}

#[tokio::test]
async fn a_body_that_stops_half_way_counts_by_its_head() {
    let pki = Pki::new();
    let receiver = Receiver::raw(&pki, |mut stream: Stream| async move {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\nhalf";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await;
    let ended = Ended::of(
        &exchange(&pki.endpoint(receiver.address, HTTP1, None)).await,
        Answers::Plain,
        now(),
    );
    assert_eq!(ended.verdict, Verdict::Taken, "{}", ended.detail);
}

#[tokio::test]
async fn what_is_not_http_is_an_endpoint_failure() {
    let pki = Pki::new();
    let receiver = Receiver::raw(&pki, |mut stream: Stream| async move {
        stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await.unwrap();
        stream.shutdown().await.ok();
    })
    .await;
    let error = exchange(&pki.endpoint(receiver.address, HTTP1, None)).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_receiver_of_another_authority_is_not_told() {
    let (pki, other) = (Pki::new(), Pki::new());
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, |_, _| status(200)).await;
    let error = exchange(&other.endpoint(receiver.address, HTTP1, None)).await.unwrap_err();
    let Error::Connect { source } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**source, connect::Error::Tls { .. }), "{error:?}");
    assert!(!error.words().contains("client error"), "{}", error.words());
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_receiver_that_demands_a_client_certificate_gets_ours() {
    let pki = Pki::new();
    let receiver = Receiver::http(&pki, Demand::Clients, HTTP1, |_, _| status(200)).await;
    let client = pki.identity("client");
    let known = pki.endpoint(receiver.address, HTTP1, Some(&client));
    assert_eq!(exchange(&known).await.unwrap().status, StatusCode::OK);
    let unknown = exchange(&pki.endpoint(receiver.address, HTTP1, None)).await;
    let ended = Ended::of(&unknown, Answers::Plain, now());
    assert_eq!((ended.verdict, ended.status), (Verdict::Unavailable, None));
    assert!(ended.detail.contains("client certificate"), "{}", ended.detail);
}

#[tokio::test]
async fn a_connection_given_up_while_idle_is_no_failure() {
    let pki = Pki::new();
    let mut receiver = Receiver::raw(&pki, |mut stream: Stream| async move {
        // The request and its body may come apart; only the head of a request has a blank line.
        let (mut read, mut sink) = (Vec::new(), [0; 4096]);
        while !read.windows(8).any(|w| w == b"webhook-") || !read.ends_with(b"}") {
            let n = stream.read(&mut sink).await.unwrap();
            read.extend_from_slice(&sink[..n]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // The next request on this connection gets no answer.
        assert!(stream.read(&mut sink).await.is_ok_and(|n| n > 0));
    })
    .await;
    let endpoint = pki.endpoint(receiver.address, HTTP1, None);
    let client = Client::new(&endpoint);
    for n in 0..2 {
        let request = endpoint.request(&sample(), "dlv_1", now()).unwrap();
        let answer = client.exchange(request).await;
        assert!(answer.is_ok(), "{n}: {answer:?}");
    }
    receiver.ended.recv().await.unwrap();
}

#[test]
fn bytes_of_a_peer_become_one_line() {
    for (bytes, limit, expected) in [
        (&b"plain"[..], 99, "plain"),
        (b"a\r\nb\t\x1b[31m\0", 99, r"a\r\nb\t\u{1b}[31m\u{0}"),
        ("\u{202e}gnp.exe \u{2028}".as_bytes(), 99, r"\u{202e}gnp.exe \u{2028}"),
        (b"\xff\xfe", 99, "\u{fffd}\u{fffd}"),
        ("äöü".as_bytes(), 4, "äö…"),
        (b"12345", 5, "12345"),
        (b"123456", 5, "12345…"),
        (b"1234\n6", 5, "1234…"),
    ] {
        assert_eq!(escaped(bytes, limit), expected);
    }
}

#[test]
fn an_endpoint_that_is_printed_keeps_its_secrets() {
    let pki = Pki::new();
    let mut endpoint = pki.endpoint(([127, 0, 0, 1], 1).into(), HTTP1, Some(&pki.identity("x")));
    endpoint.url = "https://h.example/services/T0/s3cret?token=s3cret".parse().unwrap();
    endpoint.headers = vec![(header::AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"))];
    let printed = format!("{endpoint:?} {:?}", Client::new(&endpoint));
    assert!(!printed.contains("s3cret"), "{printed}");
    assert!(printed.contains("build") && printed.contains("authorization"), "{printed}");
}

#[test]
fn a_url_shows_no_more_than_its_first_segment() {
    let pki = Pki::new();
    let mut endpoint = pki.endpoint(([127, 0, 0, 1], 1).into(), HTTP1, None);
    for (url, shown) in [
        ("https://h.example/", "https://h.example/"),
        ("https://h.example/hook", "https://h.example/hook"),
        ("https://h.example:8443/services/T0/s3cret", "https://h.example:8443/services/…"),
        ("https://user:s3cret@h.example/hook?token=s3cret", "https://h.example/hook/…"),
        ("https://h.example?token=s3cret", "https://h.example/…"),
    ] {
        endpoint.url = url.parse().unwrap();
        assert_eq!(endpoint.shown_url(), shown);
    }
}

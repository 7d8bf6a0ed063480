//! A directory that knows of renewals; the CA of the other tests does not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::body::collect_capped;
use crate::certs::LocalCa;
use crate::certs::Trust;
use crate::tasks::Tasks;

use super::*;

/// What it was asked: path, and the payload where there was one.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

struct Directory {
    folder: TempDir,
    asked: Asked,
    kept: Kept,
    current: Identity,
    _tasks: Tasks,
}

impl Directory {
    /// One that suggests this window.
    async fn suggesting(start: OffsetDateTime, end: OffsetDateTime) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let names = ["localhost".to_owned()];
        let (ca, _) = LocalCa::open_or_create(&folder.path().join("ca"), &names, now).unwrap();
        let server = certs::server_config(&ca.leaf("server", &names, now).unwrap()).unwrap();
        let trust = Trust::file(&ca.certificate_path()).unwrap();
        let tls = ClientTls::new(&trust, None, &[b"http/1.1"]).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", socket.local_addr().unwrap().port());

        let files = folder.path().join("acme");
        fs::create_dir(&files).unwrap();
        let config = Config {
            identity: "x".to_owned(),
            names: names.to_vec(),
            directory: format!("{base}/dir"),
            contact: None,
            challenge: Challenge::TlsAlpn01,
            external_account: None,
            tls,
            files: files.clone(),
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let account = json!({
            "id": format!("{base}/account/1"),
            "key_pkcs8": URL_SAFE_NO_PAD.encode(key.serialized_der()),
            "directory": config.directory,
        });
        fs::write(state::account_path(&config), account.to_string()).unwrap();
        let leaf = ca.leaf("x", &names, now).unwrap();
        let path = certificate_path(&files, "x");
        let both = [leaf.key_path(), leaf.certificate_path()].map(|path| fs::read(path).unwrap());
        fs::write(&path, both.concat()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let current = Identity::load("x", &path, &path, now).unwrap();

        let asked = Asked::default();
        let tasks = Tasks::new();
        let (seen, window) = (Arc::clone(&asked), (start, end));
        let connections = tasks.clone();
        tasks.spawn(async move {
            let acceptor = TlsAcceptor::from(server);
            while let Ok((stream, _)) = socket.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let (base, seen) = (base.clone(), Arc::clone(&seen));
                let service = service_fn(move |request| {
                    answer(request, base.clone(), Arc::clone(&seen), window)
                });
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        let state = State::read(&files, "x");
        Self {
            folder,
            asked,
            kept: Kept { config, state, under_way: false },
            current,
            _tasks: tasks,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    base: String,
    asked: Asked,
    (start, end): (OffsetDateTime, OffsetDateTime),
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let body = collect_capped(request.into_body(), 65536).await?.into_bytes();
    let payload = || {
        let signed: Value = serde_json::from_slice(&body).ok()?;
        let payload = URL_SAFE_NO_PAD.decode(signed["payload"].as_str()?).ok()?;
        serde_json::from_slice(&payload).ok()
    };
    let payload: Value = payload().unwrap_or_default();
    let answer = match path.as_str() {
        "/dir" => json!({
            "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
            "newOrder": format!("{base}/order"), "renewalInfo": format!("{base}/renewal"),
        }),
        "/order" => json!({
            "status": "pending", "authorizations": [], "finalize": format!("{base}/finalize"),
            "replaces": payload["replaces"],
        }),
        path if path.starts_with("/renewal/") => json!({ "suggestedWindow": {
            "start": start.format(&Rfc3339).unwrap(), "end": end.format(&Rfc3339).unwrap(),
        }}),
        _ => Value::Null,
    };
    asked.lock().unwrap().push((path, payload));
    let response = Response::builder()
        .header("Replay-Nonce", "n")
        .header("Location", format!("{base}/order/1"))
        .header("Retry-After", "21600");
    Ok(response.body(Full::from(answer.to_string())).unwrap())
}

#[tokio::test]
async fn a_ca_that_says_when_to_renew_is_heard_and_told_what_is_replaced() {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
    let (start, end) = (now + time::Duration::days(10), now + time::Duration::days(12));
    let mut directory = Directory::suggesting(start, end).await;
    let kept = &mut directory.kept;
    assert!(schedule::ask(&kept.state.saved, now) <= now, "nobody has asked yet");
    kept.ask(&directory.current).await;
    let due = schedule::due(&kept.state.saved, Some(&directory.current), now);
    assert!(start <= due && due <= end, "{due}");
    let again = schedule::ask(&kept.state.saved, now) - now;
    assert!((6 * 3600..6 * 3600 + 60).contains(&again.whole_seconds()), "{again}");
    let read = State::read(&directory.folder.path().join("acme"), "x");
    assert_eq!(read.saved, kept.state.saved, "it is on disk");

    let answers = Answers::default();
    let mut job = Job { config: &kept.config, state: &mut kept.state, answers: &answers };
    let client = client::Client::new(&kept.config.tls);
    let (_, order) = job.open(&client, Some(&directory.current)).await.unwrap();
    assert!(order.url().ends_with("/order/1"));
    assert_eq!(kept.state.saved.order.as_deref(), Some(order.url()));
    let asked = directory.asked.lock().unwrap();
    let id = asked.iter().find_map(|(path, _)| path.strip_prefix("/renewal/")).unwrap();
    let ordered = asked.iter().find(|(path, _)| path == "/order").unwrap();
    assert_eq!(ordered.1["replaces"], id);
    assert_eq!(ordered.1["identifiers"], json!([{ "type": "dns", "value": "localhost" }]));
    // The authority's key and the serial number, each in base64 (RFC 9773 §4.1).
    let parts: Vec<_> = id.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1].len(), 16);
}

#[tokio::test]
async fn a_window_that_is_over_means_now_and_one_too_late_is_not_waited_for() {
    let now = OffsetDateTime::now_utc();
    let day = time::Duration::DAY;
    let mut directory = Directory::suggesting(now - 2 * day, now - day).await;
    directory.kept.ask(&directory.current).await;
    assert!(directory.kept.next(now) <= now);
    let mut directory = Directory::suggesting(now + 400 * day, now + 401 * day).await;
    directory.kept.ask(&directory.current).await;
    let due = schedule::due(&directory.kept.state.saved, Some(&directory.current), now);
    assert!(due < directory.current.not_after() - 8 * day, "{due}");
}

#[tokio::test]
async fn a_ca_leads_us_to_no_address_that_must_not_be_dialled() {
    let now = OffsetDateTime::now_utc();
    let directory = Directory::suggesting(now, now).await;
    let mut config = directory.kept.config.clone();
    for (url, told) in [
        ("https://169.254.169.254/dir", "a link-local address"),
        ("https://[fd00:ec2::254]/dir", "metadata"),
        ("https://0.0.0.0/dir", "unspecified"),
        ("http://localhost/dir", "no `https` URL"),
    ] {
        config.directory = url.to_owned();
        let mut state = State::read(directory.folder.path(), "y");
        let job = Job { config: &config, state: &mut state, answers: &Answers::default() };
        let error = chain(&job.run(None).await.unwrap_err());
        assert!(error.contains(told), "{url}: {error}");
    }
}

use std::collections::HashMap;

use http::HeaderValue;
use http::header;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::event::Action;
use crate::event::Event;
use crate::event::EventId;
use crate::event::Filter;
use crate::event::IntentId;
use crate::event::schema::Envelope;
use crate::event::schema::tests::sample;
use crate::outbox;
use crate::outbox::Append;
use crate::outbox::Before;
use crate::outbox::Outbox;
use crate::outbox::Subscription;
use crate::points::Points;

use super::super::Delivery;
use super::super::EndpointState;
use super::super::Metrics;
use super::*;

/// A running delivery over a real outbox.
struct Running {
    outbox: Outbox,
    delivery: Delivery,
    tasks: Tasks,
    stop: CancellationToken,
    registry: Registry,
}

/// The outbox in a directory, with one endpoint that wants every push and delete.
fn open(directory: &TempDir) -> Outbox {
    let filter = Filter { actions: vec![Action::Push, Action::Delete], ..Filter::default() };
    let config = outbox::Config {
        directory: directory.path().join("state"),
        subscriptions: vec![Subscription {
            endpoint: "build".to_owned(),
            filter,
            latest_only: false,
        }],
        pairing: None,
        bounds: outbox::Bounds::default(),
        after_damage: outbox::AfterDamage::GoOn,
        points: Points::default(),
    };
    Outbox::open(config, outbox::Metrics::default()).unwrap()
}

/// Appends a push to a tag.
async fn push(outbox: &Outbox, tag: &str) -> Event {
    let intent = IntentId::now();
    let tag = tag.parse().unwrap();
    let event = Event {
        id: EventId::of(intent, Some(&tag)),
        tag: Some(tag),
        change: None,
        sequence: None,
        ..sample()
    };
    append(outbox, intent, event.clone()).await;
    event
}

async fn append(outbox: &Outbox, intent: IntentId, event: Event) {
    let append = Append { intent, events: vec![event], before: Before::Unknown };
    outbox.append(append).await.unwrap();
}

/// The event a request told.
fn told(request: &Request<Bytes>) -> Event {
    Envelope::read(std::str::from_utf8(request.body()).unwrap()).unwrap()
}

fn text(request: &Request<Bytes>, name: &str) -> String {
    request.headers()[name].to_str().unwrap().to_owned()
}

impl Running {
    fn start(outbox: Outbox, endpoint: Endpoint) -> Self {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let delivery =
            Delivery::start(vec![endpoint], outbox.clone(), &tasks, stop.clone(), metrics);
        Self { outbox, delivery, tasks, stop, registry }
    }

    fn state(&self) -> EndpointState {
        self.delivery.endpoints().remove(0)
    }

    fn metrics(&self) -> String {
        let mut page = String::new();
        encode(&mut page, &self.registry).unwrap();
        page
    }

    /// Waits until `holds`, which it must within the time a slow machine needs.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let check = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), check).await;
        assert!(waited.is_ok(), "{:?}\n{}", self.state(), self.metrics());
    }

    /// Stops as the process would, and gives back the metrics of then.
    async fn stop(self) -> String {
        self.stop.cancel();
        self.tasks.finished().await;
        let page = self.metrics();
        self.outbox.close().await;
        page
    }
}

#[tokio::test]
async fn an_event_is_delivered_once() {
    let pki = Pki::new();
    for alpn in [HTTP1, H2] {
        let directory = tempfile::tempdir().unwrap();
        let mut receiver = Receiver::http(&pki, Demand::Anybody, alpn, |_, _| status(200)).await;
        let outbox = open(&directory);
        let before = push(&outbox, "before").await;
        let running = Running::start(outbox, pki.endpoint(receiver.address, alpn, None));
        assert_eq!(told(&receiver.requests.recv().await.unwrap()).id, before.id);
        let after = push(&running.outbox, "after").await;
        assert_eq!(told(&receiver.requests.recv().await.unwrap()).id, after.id);
        let acked = r#"pushbell_delivery_acked_total{endpoint="build"} 2"#;
        running.until(|running| running.metrics().contains(acked)).await;
        assert_eq!(running.state().state, "healthy");
        let page = running.stop().await;
        let healthy = r#"pushbell_delivery_endpoint_state{endpoint="build",state="healthy"} 1"#;
        let taken = r#"pushbell_delivery_attempts_total{endpoint="build",outcome="taken"} 2"#;
        assert!(page.contains(healthy) && page.contains(taken), "{page}");
        assert!(page.contains("pushbell_delivery_attempt_seconds_count"), "{page}");
        assert!(receiver.requests.try_recv().is_err());
        let again = open(&directory);
        assert!(again.claim("build", now(), 9).await.unwrap().is_empty());
        again.close().await;
    }
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_with_its_id_and_a_new_time() {
    let pki = Pki::new();
    let answer = |place: usize, _: &Request<Bytes>| {
        let mut response = status(if place == 0 { 503 } else { 200 });
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    };
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, answer).await;
    let outbox = open(&pki.directory);
    let mut pushed = Vec::new();
    for n in 0..20 {
        pushed.push(push(&outbox, &format!("t{n}")).await.id);
    }
    let running = Running::start(outbox, pki.endpoint(receiver.address, HTTP1, None));
    let failed = receiver.requests.recv().await.unwrap();
    let mut ids = HashMap::new();
    for _ in 0..20 {
        let request = receiver.requests.recv().await.unwrap();
        assert!(ids.insert(told(&request).id, text(&request, "webhook-id")).is_none());
        if told(&request).id == told(&failed).id {
            let at = |request| text(request, "webhook-timestamp").parse::<i64>().unwrap();
            assert!(at(&request) > at(&failed));
        }
    }
    assert!(pushed.iter().all(|id| ids.contains_key(id)));
    assert_eq!(ids[&told(&failed).id], text(&failed, "webhook-id"));
    running.until(|running| running.state().state == "healthy").await;
    let (_, error) = running.state().last_error.unwrap();
    assert!(error.starts_with("answered 503 Service Unavailable"), "{error}");
    running.stop().await;
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn events_of_one_tag_come_in_their_order() {
    let pki = Pki::new();
    let mut receiver = Receiver::http(&pki, Demand::Anybody, H2, |_, _| status(200)).await;
    let outbox = open(&pki.directory);
    let mut expected: HashMap<String, Vec<EventId>> = HashMap::new();
    for n in 0..60 {
        let tag = format!("t{}", n % 3);
        let event = push(&outbox, &tag).await;
        expected.entry(tag).or_default().push(event.id);
    }
    let running = Running::start(outbox, pki.endpoint(receiver.address, H2, None));
    let mut seen: HashMap<String, Vec<EventId>> = HashMap::new();
    for _ in 0..60 {
        let event = told(&receiver.requests.recv().await.unwrap());
        seen.entry(event.tag.unwrap().to_string()).or_default().push(event.id);
    }
    assert_eq!(seen, expected);
    running.stop().await;
}

#[tokio::test]
async fn a_failing_endpoint_gets_no_more_than_was_in_flight() {
    let pki = Pki::new();
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, |_, _| status(500)).await;
    let outbox = open(&pki.directory);
    for n in 0..20 {
        push(&outbox, &format!("t{n}")).await;
    }
    let running = Running::start(outbox, pki.endpoint(receiver.address, HTTP1, None));
    running.until(|r| r.state().state == "failing" && r.state().in_flight == 0).await;
    let page = running.stop().await;
    let failing = r#"pushbell_delivery_endpoint_state{endpoint="build",state="failing"} 1"#;
    assert!(page.contains(failing), "{page}");
    let mut requests = 0;
    while receiver.requests.try_recv().is_ok() {
        requests += 1;
    }
    assert!(requests <= 8, "{requests}");
    let outbox = open(&pki.directory);
    let due = outbox.claim("build", now() + Duration::from_secs(10), 99).await.unwrap();
    assert_eq!(due.len(), 20, "none is lost and none is worn out");
    assert!(due.iter().all(|claim| claim.event_failures == 0));
    outbox.close().await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_left_alone() {
    let pki = Pki::new();
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, |_, _| status(410)).await;
    let running = Running::start(open(&pki.directory), pki.endpoint(receiver.address, HTTP1, None));
    push(&running.outbox, "a").await;
    running.until(|running| running.state().state == "off").await;
    push(&running.outbox, "b").await;
    running.stop().await;
    receiver.requests.recv().await.unwrap();
    assert!(receiver.requests.try_recv().is_err());
    let outbox = open(&pki.directory);
    let due = outbox.claim("build", now() + Duration::from_secs(10), 99).await.unwrap();
    assert_eq!(due.len(), 2);
    outbox.close().await;
}

#[tokio::test]
async fn an_event_without_words_is_a_dead_letter_and_never_sent() {
    let pki = Pki::new();
    let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, |_, _| status(200)).await;
    let mut endpoint = pki.endpoint(receiver.address, HTTP1, None);
    endpoint.dialect = Dialect::DockerHub;
    let running = Running::start(open(&pki.directory), endpoint);
    let (intent, deleted) = (IntentId::now(), Event { action: Action::Delete, ..sample() });
    append(&running.outbox, intent, Event { id: EventId::of(intent, None), ..deleted }).await;
    // Of the same lane: it comes once the one before it is out of the way.
    let event = push(&running.outbox, "1.4.2").await;
    let request = receiver.requests.recv().await.unwrap();
    assert!(text(&request, "webhook-id").starts_with(&event.id.to_string()));
    let page = running.stop().await;
    let dead = r#"pushbell_delivery_dead_total{endpoint="build",reason="refused"} 1"#;
    let unwritable = r#"pushbell_delivery_attempts_total{endpoint="build",outcome="unwritable"} 1"#;
    assert!(page.contains(dead) && page.contains(unwritable), "{page}");
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn stopping_waits_for_what_is_in_flight_and_starts_nothing() {
    let pki = Pki::new();
    let (asked, answer) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let receiver = {
        let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
        Receiver::raw(&pki, move |mut stream: Stream| {
            let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
            async move {
                assert!(stream.read(&mut [0; 65536]).await.unwrap() > 0);
                asked.add_permits(1);
                answer.notified().await;
                let nothing = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                stream.write_all(nothing).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        })
        .await
    };
    let mut endpoint = pki.endpoint(receiver.address, HTTP1, None);
    endpoint.concurrency = 1;
    let outbox = open(&pki.directory);
    push(&outbox, "a").await;
    push(&outbox, "b").await;
    let running = Running::start(outbox, endpoint);
    asked.acquire().await.unwrap().forget();
    running.stop.cancel();
    answer.notify_one();
    running.stop().await;
    let outbox = open(&pki.directory);
    let left = outbox.claim("build", now(), 9).await.unwrap();
    let tags: Vec<_> = left.iter().map(|claim| claim.event.tag.clone().unwrap()).collect();
    assert_eq!(tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b"]);
    outbox.close().await;
}

#[test]
fn what_a_killed_process_had_in_flight_is_delivered_by_the_next() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    };
    let pki = Pki::new();
    let killed = runtime();
    let (outbox, id, first) = killed.block_on(async {
        let (seen, mut asked) = mpsc::channel(1);
        let receiver = Receiver::raw(&pki, move |mut stream: Stream| {
            let seen = seen.clone();
            async move {
                let mut request = [0; 65536];
                let read = stream.read(&mut request).await.unwrap();
                seen.try_send(String::from_utf8_lossy(&request[..read]).into_owned()).ok();
                // Never an answer.
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
            }
        })
        .await;
        let outbox = open(&pki.directory);
        let event = push(&outbox, "a").await;
        let running = Running::start(outbox, pki.endpoint(receiver.address, HTTP1, None));
        (running.outbox.clone(), event.id, asked.recv().await.unwrap())
    });
    // The worker and its attempt are gone where they stood.
    killed.shutdown_timeout(Duration::from_secs(30));
    runtime().block_on(async {
        outbox.close().await;
        let mut receiver = Receiver::http(&pki, Demand::Anybody, HTTP1, |_, _| status(200)).await;
        let running =
            Running::start(open(&pki.directory), pki.endpoint(receiver.address, HTTP1, None));
        let request = receiver.requests.recv().await.unwrap();
        assert_eq!(told(&request).id, id);
        assert!(first.contains(&format!("webhook-id: {}\r\n", text(&request, "webhook-id"))));
        running.stop().await;
    });
}

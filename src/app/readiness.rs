use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::timeout;

use crate::admin::Ask;
use crate::admin::Detail;
use crate::admin::Readiness;
use crate::admin::Standing;
use crate::certs;
use crate::config::IntentMode;
use crate::config::OnFailure;
use crate::connect::Connector;
use crate::delivery::Delivery;
use crate::ingest::Hooks;
use crate::outbox;
use crate::outbox::Outbox;
use crate::proxy::Proxy;
use crate::telemetry::chain;

/// How long a readiness probe waits for a connection to the registry.
const PROBE: Duration = Duration::from_secs(1);

/// What a readiness probe asks.
pub(super) struct Question {
    pub(super) draining: Arc<AtomicBool>,
    pub(super) outbox: Outbox,
    pub(super) on_failure: OnFailure,
    pub(super) intent: IntentMode,
    pub(super) proxy: Proxy,
    pub(super) hooks: Hooks,
    pub(super) delivery: Delivery,
    pub(super) upstream: Connector,
    pub(super) certificates: certs::Standing,
}

/// What the operator gave up for speed, in words.
pub(super) fn weaker(intent: IntentMode) -> Option<&'static str> {
    match intent {
        IntentMode::Sync => None,
        IntentMode::Async => Some("async: a loss of power may hide a push that was applied"),
        IntentMode::Off => Some("off: our end may hide a push that was applied"),
    }
}

impl Question {
    pub(super) fn into_ask(self) -> Ask {
        let question = Arc::new(self);
        Arc::new(move || {
            let question = question.clone();
            Box::pin(async move { question.answer().await })
        })
    }

    async fn answer(&self) -> Readiness {
        let mut degraded = Vec::new();
        let mut status = Standing::Ready;
        if let outbox::State::Failed(what) = self.outbox.state() {
            degraded.push(Detail { part: "outbox", what });
            if self.on_failure == OnFailure::Reject {
                status = Standing::OutboxFailed;
            }
        }
        let weaker_outbox = self.outbox.weaknesses().into_iter();
        degraded.extend(weaker_outbox.map(|(part, what)| Detail { part, what }));
        let weaker = weaker(self.intent);
        degraded.extend(weaker.map(|what| Detail { part: "intents", what: what.to_owned() }));
        let unrecorded = self.proxy.unrecorded();
        if unrecorded > 0 {
            let what = format!("{unrecorded} events wait in memory only");
            degraded.push(Detail { part: "events", what });
        }
        let oddities = self.hooks.oddities().into_iter();
        degraded.extend(oddities.map(|what| Detail { part: "source", what }));
        let upstream = match timeout(PROBE, self.upstream.connect()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!("no connection within {} s", PROBE.as_secs())),
        };
        degraded.extend(upstream.map(|what| Detail { part: "upstream", what }));
        for endpoint in self.delivery.endpoints().iter().filter(|e| e.state != "healthy") {
            let last = endpoint.last_error.as_ref().map_or("", |(_, why)| why.as_str());
            let (part, state) = match endpoint.state {
                "cut_off" => ("proxy", "cut off by its proxy"),
                state => ("endpoint", state),
            };
            let what = format!("{} is {state}: {last}", endpoint.name);
            degraded.push(Detail { part, what });
        }
        let weaknesses = self.certificates.weaknesses(OffsetDateTime::now_utc());
        degraded.extend(weaknesses.into_iter().map(|what| Detail { part: "certificate", what }));
        if self.draining.load(Ordering::Relaxed) {
            status = Standing::Draining;
        }
        Readiness { status, degraded }
    }
}

//! The composition root: the only module that knows every part. It loads what the configuration names,
//! binds sockets, wires the parts, runs them, and ends them in the order of `shutdown.rs`.

mod bound;
mod describe;
mod descriptors;
mod error;
mod front;
mod names;
mod parts;
mod readiness;
mod registry_config;
mod renewal;
mod token;
mod trusts;
mod welcome;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::runtime::Builder;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::acme;
use crate::acme::Acme;
use crate::admin::Admin;
use crate::admin::Operated;
use crate::certs;
use crate::config;
use crate::config::Config;
use crate::config::IntentMode;
use crate::config::OnFailure;
use crate::config::Serve;
use crate::config::Upstream;
use crate::delivery;
use crate::delivery::Delivery;
use crate::delivery::sign::PublicKeys;
use crate::event::Action;
use crate::ingest;
use crate::ingest::Hooks;
use crate::ingest::Keeper;
use crate::listener;
use crate::listener::Room;
use crate::listener::Workers;
use crate::outbox;
use crate::outbox::AfterDamage;
use crate::outbox::Durability;
use crate::outbox::Outbox;
use crate::proxy;
use crate::proxy::Proxy;
use crate::shutdown::Shutdown;
use crate::tasks::Tasks;

use self::bound::Bound;
use self::bound::bind;
use self::bound::registry_address;
use self::bound::registry_name;
use self::front::Front;
use self::readiness::Question;
use self::renewal::Renewal;

pub use self::describe::describe;
pub use self::describe::trust;
pub use self::error::Error;
pub use self::names::verify;
pub use self::parts::Authority;
pub use self::parts::AuthorityState;
pub use self::parts::Making;
pub use self::parts::Parts;
pub use self::registry_config::registry_config;
pub use self::token::admin_token;
pub use self::token::admin_token_file;
pub use self::trusts::Trusting;
pub use self::welcome::Started;
pub use self::welcome::shown_authority;
pub use self::welcome::welcome;

/// How long closing the outbox may take, once everything else has ended or its time is over.
const SEALING: Duration = Duration::from_secs(10);

/// How long operators may take for what they have asked, last of all.
const OPERATORS_LAST: Duration = Duration::from_secs(2);

/// How many connections operators may have at once.
const OPERATORS: usize = 256;

/// Runs until it is told to stop. `started` is told once every address is taken, before anything is served.
///
/// # Errors
///
/// If it could not start, or could not end cleanly.
pub fn run(config: &Config, parts: Parts, started: impl FnOnce(&Started)) -> Result<(), Error> {
    // A second provider in one process is refused, and the first is the same one.
    certs::provider().as_ref().clone().install_default().ok();
    let descriptors = descriptors::raise();
    let mut metrics = Registry::default();
    let outbox = outbox::Config {
        // A directory of its own: that of a Kubernetes volume is often open to everybody.
        directory: config.state_directory.join("outbox"),
        subscriptions: config.endpoints.iter().map(subscription).collect(),
        pairing: (!config.sources.is_empty()).then_some(config.pairing),
        bounds: config.bounds,
        after_damage: match config.on_failure {
            OnFailure::Pass => AfterDamage::GoOn,
            OnFailure::Reject => AfterDamage::Wait,
        },
        points: parts.points.clone(),
    };
    let counters = outbox::Metrics::default();
    counters.register(&mut metrics);
    let outbox = Outbox::open(outbox, counters).map_err(|source| Error::Outbox { source })?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Runtime { source })?;
    let over = CancellationToken::new();
    let cores = available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = Workers::start(cores, &over).map_err(|source| Error::Runtime { source })?;
    let started = Running::start(config, parts, outbox, metrics, descriptors, workers, started);
    let ended = runtime.block_on(started);
    // Whatever still runs was given up: the drain waited for all that matters.
    over.cancel();
    runtime.shutdown_background();
    ended
}

/// Everything that runs.
struct Running {
    shutdown: Shutdown,
    draining: Arc<AtomicBool>,
    outbox: Outbox,
    proxy: Proxy,
    /// Connections of clients and the exchanges they began.
    requests: Work,
    /// Workers of endpoints and what appends leftovers.
    deliveries: Work,
    /// Connections of operators.
    operators: Work,
    drain: Duration,
}

/// Tasks that end together.
#[derive(Default)]
struct Work {
    tasks: Tasks,
    stop: CancellationToken,
}

impl Running {
    async fn start(
        config: &Config,
        parts: Parts,
        outbox: Outbox,
        mut registry: Registry,
        descriptors: Option<u64>,
        workers: Workers,
        started: impl FnOnce(&Started),
    ) -> Result<(), Error> {
        let shutdown = Shutdown::new();
        let signals = shutdown.watch().map_err(|source| Error::Signals { source })?;
        let background = Tasks::new();
        background.spawn(signals);

        let answers = acme::Answers::default();
        let (bound, shown) = bind(config, &parts, &answers)?;
        let standing = certs::Standing::default();
        let kept = certs::Metrics::default();
        kept.register(&mut registry, standing.clone());
        let renewal = Renewal::new(config, &parts, shown, standing.clone(), kept.clone());
        let acme = Acme::new(parts.acme.clone(), answers.clone(), standing.clone(), kept);
        let (requests, deliveries, operators) = (Work::default(), Work::default(), Work::default());
        let name = registry_name(config, &bound);
        let address = registry_address(&bound);
        started(&Started { registry: name.clone(), address });
        for mistake in names::mistakes(config, &parts) {
            warn!(reason = mistake.words, "Clients will not trust what we show them");
        }
        let hosts: Vec<_> =
            bound.iter().map(|bound| names::hosts(config, &parts, bound.config)).collect();
        if let Some(weaker) = readiness::weaker(config.intent) {
            warn!(intents = weaker, "Pushes are kept less well than they could be");
        }
        let proxied = proxy::Metrics::default();
        proxied.register(&mut registry);
        let delivered = delivery::Metrics::default();
        delivered.register(&mut registry);
        let accepted = listener::Metrics::default();
        accepted.register(&mut registry);
        let proxy = Proxy::new(
            proxy_config(config, &parts, name.clone()),
            outbox.clone(),
            requests.tasks.clone(),
            proxied,
        );
        deliveries.tasks.spawn(renewal.run(shutdown.reload(), deliveries.stop.clone()));
        deliveries.tasks.spawn(acme.run(shutdown.reload(), deliveries.stop.clone()));
        deliveries.tasks.spawn(proxy.clone().keep_recording(deliveries.stop.clone()));
        deliveries.tasks.spawn(proxy.clone().keep_settling(deliveries.stop.clone()));
        let signers = parts.endpoints.iter().filter_map(|endpoint| endpoint.signer.as_ref());
        let keys = PublicKeys::of(signers);
        let delivery = Delivery::start(
            parts.endpoints,
            outbox.clone(),
            &deliveries.tasks,
            deliveries.stop.clone(),
            delivered,
        );
        let told = ingest::Metrics::default();
        told.register(&mut registry);
        let hooks = Hooks::new(hooks_config(config, &name), outbox.clone(), told.clone());
        let keeper =
            Keeper { registry: name, look: look_of(&proxy), outbox: outbox.clone(), metrics: told };
        deliveries.tasks.spawn(keeper.run(deliveries.stop.clone()));
        let draining = Arc::new(AtomicBool::new(false));
        let readiness = Question {
            draining: draining.clone(),
            outbox: outbox.clone(),
            on_failure: config.on_failure,
            intent: config.intent,
            proxy: proxy.clone(),
            hooks: hooks.clone(),
            delivery,
            upstream: parts.upstream.clone(),
            certificates: standing,
        };
        let keys = Arc::new(move || keys.json());
        let token = token::admin_token_or_new(config)?;
        let operated = Operated { outbox: outbox.clone(), hooks: hooks.clone(), token };
        let admin = Admin::new(readiness.into_ask(), Arc::new(registry), keys, operated);
        let limits = &config.limits;
        let connections = descriptors::connections(limits.connections, descriptors);
        if connections < limits.connections {
            warn!(
                connections,
                wanted = limits.connections,
                descriptors,
                "Fewer connections than configured: the system allows too few open files"
            );
        }
        let room = Room::new(connections, limits.handshakes, limits.memory_budget_bytes);
        // A crowd of clients must not keep an operator out.
        let aside = Room::new(OPERATORS, OPERATORS, 0);
        let proxies = workers.each(|()| proxy.apart());
        let here = Workers::here().each(|()| proxy.clone());
        for (Bound { listener, config }, hosts) in bound.into_iter().zip(hosts) {
            let serves = |what| config.serves.contains(&what);
            let (work, room, proxies) =
                match (serves(Serve::Registry), serves(Serve::Acme) || serves(Serve::Hooks)) {
                    (true, _) => (&requests, &room, &proxies),
                    (false, true) => (&requests, &room, &here),
                    (false, false) => (&operators, &aside, &here),
                };
            let admin = admin.named(hosts);
            let fronts =
                proxies.each(|proxy| front(config, proxy, &hooks, &admin, &answers.tokens));
            let context = listener::Context {
                tasks: work.tasks.clone(),
                stop: work.stop.clone(),
                room: room.clone(),
                metrics: accepted.clone(),
                points: parts.points.clone(),
            };
            if config.proxy_protocol && config.trusted_proxies.is_empty() {
                warn!(
                    address = %listener.address(),
                    "Whoever reaches this listener can claim any address: name the load balancers in trusted_proxies"
                );
            }
            info!(
                address = %listener.address(),
                serve = config.serves.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(","),
                identity = identities(config),
                "Listening"
            );
            work.tasks.spawn(listener.serve(fronts, context));
        }
        drop(proxies);
        let drain = config.limits.drain;
        let running =
            Self { shutdown, draining, outbox, proxy, requests, deliveries, operators, drain };
        running.until_stopped().await
    }

    async fn until_stopped(self) -> Result<(), Error> {
        self.shutdown.drain().cancelled().await;
        self.draining.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.drain;
        let in_time = tokio::select! {
            () = self.finish() => true,
            () = sleep_until(deadline) => false,
            () = self.shutdown.at_once().cancelled() => false,
        };
        let unfinished = self.requests.tasks.len() + self.deliveries.tasks.len();
        let sealing = async {
            self.proxy.close().await;
            self.outbox.clone().close().await;
            timeout(OPERATORS_LAST, self.operators.end()).await.is_ok()
        };
        // Neither a disk that hangs nor an operator that reads nothing may hold us for ever.
        if timeout(SEALING, sealing).await.is_err() {
            warn!(deadline = ?SEALING, "Stopped before the outbox was closed; nothing durable is lost");
        }
        let unkept = self.proxy.unkept();
        if unkept > 0 {
            error!(
                events = unkept,
                "Stopped with events that only memory held; they are in this log"
            );
            return Err(Error::Unkept { events: unkept });
        }
        if !in_time {
            warn!(
                unfinished,
                "Stopped before everything was finished; nothing acknowledged is lost"
            );
            return Err(Error::CutShort { unfinished });
        }
        info!("Stopped");
        Ok(())
    }

    /// Requests first, and the events they owe; then the attempts in flight.
    async fn finish(&self) {
        self.requests.end().await;
        self.deliveries.end().await;
    }
}

impl Work {
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.finished().await;
    }
}

fn subscription(endpoint: &config::Endpoint) -> outbox::Subscription {
    outbox::Subscription {
        endpoint: endpoint.name.value.clone(),
        filter: endpoint.when.clone(),
        latest_only: endpoint.latest_only,
    }
}

fn proxy_config(config: &Config, parts: &Parts, registry: String) -> proxy::Config {
    let limits = &config.limits;
    let authority = |host: &str, port: u16| {
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("{bracketed}:{port}")
    };
    proxy::Config {
        registry,
        connector: parts.upstream.clone(),
        layout: config.registry.layout.clone(),
        upstream_authority: match &config.registry.upstream.value {
            Upstream::Http { host, port } | Upstream::Https { host, port } => {
                Some(authority(host, *port))
            }
            Upstream::Unix(_) => None,
        },
        look: config.registry.look.as_ref().map(|look| proxy::Account {
            username: look.username.clone(),
            password: look.password.clone(),
        }),
        look_realms: parts.look_realms.clone(),
        intent: match config.intent {
            IntentMode::Sync => Some(Durability::Synced),
            IntentMode::Async => Some(Durability::Written),
            IntentMode::Off => None,
        },
        serialize_tag: config.registry.serialize_tag,
        settling: proxy::Settling {
            first_look: config.settle.first_look,
            give_up: config.settle.give_up,
        },
        points: parts.points.clone(),
        on_failure: match config.on_failure {
            OnFailure::Pass => proxy::OnFailure::Pass,
            OnFailure::Reject => proxy::OnFailure::Reject,
        },
        mounts: match config.endpoints.iter().any(|e| e.when.actions.contains(&Action::Mount)) {
            true => proxy::Mounts::Told,
            false => proxy::Mounts::Untold,
        },
        limits: proxy::Limits {
            manifest_answer: limits.upstream_manifest,
            answer: limits.upstream_write,
            body_idle: limits.body_idle,
            manifest_copy: limits.manifest_copy_bytes,
            manifest_copies: limits.manifest_copies_bytes,
            ..proxy::Limits::default()
        },
    }
}

fn hooks_config(config: &Config, registry: &str) -> ingest::Config {
    let source = |source: &config::NotificationSource| ingest::Source {
        name: source.name.value.clone(),
        kind: source.kind,
        credentials: source.credentials.clone(),
        registry: source.registry.clone(),
        repositories: source.repositories.clone(),
    };
    let sources = config.sources.iter().map(source).collect();
    let layout = config.registry.layout.clone();
    ingest::Config { sources, registry: registry.to_owned(), echo: proxy::USER_AGENT, layout }
}

/// What notifications are looked at with: the proxy's way to the registry.
fn look_of(proxy: &Proxy) -> ingest::Look {
    let proxy = proxy.clone();
    Arc::new(move |repository, reference| {
        let proxy = proxy.clone();
        Box::pin(async move { proxy.look(&repository, &reference).await })
    })
}

/// The names of what a listener shows, the default first.
fn identities(listener: &config::Listener) -> Option<String> {
    let names: Vec<&str> = listener.all_identities().map(|i| i.value.as_str()).collect();
    (!names.is_empty()).then(|| names.join(","))
}

fn front(
    listener: &config::Listener,
    proxy: &Proxy,
    hooks: &Hooks,
    admin: &Admin,
    tokens: &acme::Tokens,
) -> Front {
    let serves = |what: Serve| listener.serves.contains(&what);
    Front {
        registry: serves(Serve::Registry).then(|| proxy.trusting(&listener.trusted_proxies)),
        hooks: serves(Serve::Hooks).then(|| hooks.clone()),
        admin: serves(Serve::Admin).then(|| admin.clone()),
        keys: serves(Serve::Hooks).then(|| admin.clone()),
        acme: serves(Serve::Acme).then(|| tokens.clone()),
    }
}

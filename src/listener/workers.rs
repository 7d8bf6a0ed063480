use std::future::Future;
use std::hint::black_box;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use tokio::runtime::Builder;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

use super::pool::Pool;

/// Where connections are served: a few workers, and one thing of each kind for each of them.
///
/// A worker is a thread with a runtime of its own. A connection stays with the worker it was given to, and
/// so does everything that is done for it, its connections to the registry included: what both sides of a
/// transfer touch is never on two threads, and nobody is woken across them. What a worker has to itself,
/// such as a pool of connections, is the `S` here; what all must share has to stand being shared.
#[derive(Debug, Clone)]
pub struct PerWorker<S> {
    first: (Worker, S),
    others: Vec<(Worker, S)>,
}

/// The workers, with nothing to each of them yet.
pub type Workers = PerWorker<()>;

#[derive(Debug, Clone)]
pub(super) struct Worker {
    runtime: Handle,
    /// Connections it has, of all listeners.
    load: Arc<AtomicUsize>,
    /// For whoever reads in large pieces there.
    pub(super) buffers: Pool,
}

/// A connection in a worker's count.
struct Counted(Arc<AtomicUsize>);

/// Bytes of a block that is larger than what comes and goes while bodies stream.
const FREED: usize = 4 << 20;

impl Workers {
    /// Starts so many threads. They run until `stop` is cancelled, and then drop what they have.
    ///
    /// # Errors
    ///
    /// If there can be no such thread, or no runtime for it.
    pub fn start(count: NonZeroUsize, stop: &CancellationToken) -> io::Result<Self> {
        keep_what_is_freed();
        let start = |n: usize| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let worker = Worker::on(runtime.handle().clone());
            let stop = stop.clone();
            thread::Builder::new().name(format!("worker-{n}")).spawn(move || {
                runtime.block_on(stop.cancelled());
                // Whatever still runs was given up, and must not hold anybody.
                runtime.shutdown_background();
            })?;
            Ok((worker, ()))
        };
        let first = start(0)?;
        let others = (1..count.get()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { first, others })
    }

    /// The runtime we are on, as the only worker.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[must_use]
    pub fn here() -> Self {
        Self { first: (Worker::on(Handle::current()), ()), others: Vec::new() }
    }
}

impl<S> PerWorker<S> {
    /// The same workers, each with something made of what it had.
    #[must_use]
    pub fn each<T>(&self, mut make: impl FnMut(&S) -> T) -> PerWorker<T> {
        let mut make = |(worker, had): &(Worker, S)| (worker.clone(), make(had));
        let first = make(&self.first);
        PerWorker { first, others: self.others.iter().map(make).collect() }
    }

    /// The worker that has the fewest connections; of several the first, whose caches are warm.
    pub(super) fn least_loaded(&self) -> (&Worker, &S) {
        let (worker, has) = self.others.iter().fold(&self.first, |least, other| {
            if other.0.load() < least.0.load() { other } else { least }
        });
        (worker, has)
    }
}

impl Worker {
    fn on(runtime: Handle) -> Self {
        Self { runtime, load: Arc::default(), buffers: Pool::default() }
    }

    fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Serves a connection there.
    pub(super) fn spawn<F>(&self, tasks: &Tasks, connection: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // From now on, so that of two connections that come at once not both are given to it.
        let counted = Counted::new(&self.load);
        let connection = async move {
            connection.await;
            drop(counted);
        };
        tasks.spawn_on(connection, &self.runtime)
    }
}

/// Has the allocator keep up to twice as much at the end of each arena instead of giving it back to the system.
///
/// The buffers of bodies come and go many times a second, and what has been given back costs a page fault for
/// every 4 KiB when it is taken again: a third of the processor time of an upload over HTTP/2. glibc learns
/// from the largest block that was ever freed (mallopt(3), `M_TRIM_THRESHOLD`); other allocators do as they
/// like. The block itself is never touched, so it costs nothing.
fn keep_what_is_freed() {
    drop(black_box(vec![0_u8; FREED]));
}

impl Counted {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(load.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread::ThreadId;

    use tokio::sync::mpsc;

    use super::*;

    fn three(stop: &CancellationToken) -> Workers {
        Workers::start(NonZeroUsize::new(3).unwrap(), stop).unwrap()
    }

    #[tokio::test]
    async fn connections_are_shared_out_evenly_and_stay_where_they_are() {
        let (tasks, stop, leave) =
            (Tasks::new(), CancellationToken::new(), CancellationToken::new());
        let workers = three(&stop);
        let (tell, mut told) = mpsc::channel(30);
        for _ in 0..30 {
            let (tell, leave, inner) = (tell.clone(), leave.clone(), tasks.clone());
            workers.least_loaded().0.spawn(&tasks, async move {
                let here = thread::current().id();
                let theirs = inner.spawn(async { thread::current().id() }).await.unwrap();
                assert_eq!(here, theirs, "what a connection starts stays on its worker");
                tell.send(here).await.unwrap();
                leave.cancelled().await;
                assert_eq!(here, thread::current().id());
            });
        }
        let mut threads: HashMap<ThreadId, usize> = HashMap::new();
        for _ in 0..30 {
            *threads.entry(told.recv().await.unwrap()).or_default() += 1;
        }
        assert_eq!(threads.into_values().collect::<Vec<_>>(), [10, 10, 10]);
        leave.cancel();
        tasks.finished().await;
        assert!(workers.others.iter().all(|(worker, ())| worker.load() == 0));
        stop.cancel();
    }

    #[tokio::test]
    async fn who_has_the_fewest_is_given_the_next() {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let mut number = 0;
        let workers = three(&stop).each(|()| {
            number += 1;
            number
        });
        let ends: Vec<CancellationToken> = (0..6).map(|_| CancellationToken::new()).collect();
        let mut connections = Vec::new();
        let given: Vec<i32> = ends
            .iter()
            .map(|end| {
                let (worker, number) = workers.least_loaded();
                connections.push(worker.spawn(&tasks, end.clone().cancelled_owned()));
                *number
            })
            .collect();
        assert_eq!(given, [1, 2, 3, 1, 2, 3]);
        ends[4].cancel();
        connections.remove(4).await.unwrap();
        assert_eq!(*workers.least_loaded().1, 2);
        stop.cancel();
    }

    #[tokio::test]
    async fn a_stop_drops_what_still_runs() {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let connection = three(&stop).least_loaded().0.spawn(&tasks, std::future::pending::<()>());
        stop.cancel();
        assert!(connection.await.unwrap_err().is_cancelled());
        tasks.finished().await;
    }
}

//! Network threads: where every socket and every connection of farfire lives.
//!
//! A [`Network`] owns threads of its own, each with a single-threaded runtime, so that a program that
//! blocks its own runtime cannot stop keep-alives, and a connection stays on one thread for life. It
//! knows nothing about what the connections say.

mod deadlines;
mod gauge;
mod socket;
mod transport;
mod udp;

use std::{
    cell::Cell,
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use quinn::Endpoint;
use tokio::{
    runtime::{Handle, Runtime},
    sync::oneshot,
    task::AbortHandle,
};

use self::deadlines::Deadlines;
pub(crate) use self::{
    deadlines::Deadline,
    gauge::{FLOOR, Gauge},
    transport::{DATAGRAM_QUEUE, client_config, open_window, server_config},
};

use crate::conditioner::Conditioner;

/// Threads that carry connections; clones share them.
///
/// `Server` and `Client` make one each unless they are given one. Bots and load generators share one,
/// and with it one UDP socket for many clients. The threads end when the last handle is gone and the
/// last connection has ended.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    threads: Vec<Thread>,
    #[cfg_attr(
        not(feature = "testing"),
        expect(dead_code, reason = "held: its thread ends with it")
    )]
    timer: Thread,
    deadlines: Arc<Deadlines>,
    keeper: AbortHandle,
    next: AtomicUsize,
    /// What clients share, by thread and by address family; made when first needed.
    endpoints: Mutex<HashMap<(usize, bool), Endpoint>>,
    conditioner: Option<Conditioner>,
    busy_poll: bool,
    #[cfg(feature = "testing")]
    simulated: Option<crate::testing::SimNet>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A thread takes its tasks with it; the runtime of a test goes on.
        self.keeper.abort();
    }
}

/// One thread; it ends when this is dropped.
struct Thread {
    runtime: Handle,
    number: usize,
    _stop: oneshot::Sender<()>,
}

impl Network {
    /// One network thread that sleeps when there is nothing to do.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Starts to describe a network.
    pub fn builder() -> NetworkBuilder {
        NetworkBuilder {
            threads: 1,
            busy_poll: false,
            conditioner: None,
        }
    }

    /// A network whose one thread is the current runtime.
    #[cfg(feature = "testing")]
    pub(crate) fn simulated(net: crate::testing::SimNet, conditioner: Option<Conditioner>) -> Self {
        let thread = || {
            let (stop, _) = oneshot::channel();
            // As on no network thread: wakers are the runtime's own, and reach it from anywhere.
            Thread {
                runtime: Handle::current(),
                number: usize::MAX,
                _stop: stop,
            }
        };
        let timer = thread();
        let (deadlines, keeper) = timer.keep_deadlines();
        let inner = Inner {
            threads: vec![thread()],
            timer,
            deadlines,
            keeper,
            next: AtomicUsize::new(0),
            endpoints: Mutex::default(),
            conditioner,
            busy_poll: false,
            simulated: Some(net),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.inner.threads.len()
    }

    /// Whether its threads never sleep.
    pub(crate) fn is_polled(&self) -> bool {
        self.inner.busy_poll
    }

    /// The thread that the next client is put on.
    pub(crate) fn assign(&self) -> usize {
        self.inner.next.fetch_add(1, Ordering::Relaxed) % self.inner.threads.len()
    }

    pub(crate) fn runtime(&self, thread: usize) -> &Handle {
        &self.inner.threads[thread].runtime
    }

    /// The index of the thread with this number.
    pub(crate) fn thread_of(&self, number: usize) -> usize {
        self.inner
            .threads
            .iter()
            .position(|thread| thread.number == number)
            .unwrap_or(0)
    }

    pub(crate) fn thread_number(&self, thread: usize) -> usize {
        self.inner.threads[thread].number
    }

    /// The socket for clients of this thread; call it on the thread. `alone` promises that there will
    /// be one client.
    pub(crate) fn client_endpoint(
        &self,
        thread: usize,
        peer: SocketAddr,
        alone: bool,
    ) -> io::Result<Endpoint> {
        let key = (thread, peer.is_ipv6());
        let endpoints = &self.inner.endpoints;
        let lock = || endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        // Made where no lock is held: it takes the system's time, and may have something to log. Nobody
        // else makes one for this thread meanwhile.
        let endpoint = self.local_endpoint(peer, alone)?;
        lock().insert(key, endpoint.clone());
        Ok(endpoint)
    }

    /// Forgets an endpoint whose socket has died, so that the next client gets another.
    pub(crate) fn forget_client_endpoint(&self, dead: &Endpoint) {
        let endpoints = &self.inner.endpoints;
        let mut endpoints = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let address = dead.local_addr().ok();
        // Only that one: somebody else may have been here before.
        endpoints.retain(|_, endpoint| endpoint.local_addr().ok() != address);
    }

    /// Tasks on its threads.
    #[cfg(feature = "testing")]
    pub(crate) fn alive_tasks(&self) -> usize {
        let Inner { threads, timer, .. } = &*self.inner;
        let threads = threads.iter().chain([timer]);
        threads
            .map(|thread| thread.runtime.metrics().num_alive_tasks())
            .sum()
    }

    /// The time that its deadlines are kept by, whatever clock the current runtime has.
    pub(crate) fn now(&self) -> Instant {
        #[cfg(feature = "testing")]
        if self.inner.simulated.is_some() {
            let _entered = self.inner.timer.runtime.enter();
            return crate::clock::now();
        }
        // Nobody else has the timer thread's runtime, so nobody pauses its clock.
        Instant::now()
    }

    /// A sleep until `deadline` that depends neither on a network thread nor on the program.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> Deadline {
        self.inner.deadlines.at(deadline)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("threads", &self.threads())
            .finish()
    }
}

/// Describes a [`Network`].
#[derive(Debug, Clone)]
pub struct NetworkBuilder {
    threads: usize,
    busy_poll: bool,
    conditioner: Option<Conditioner>,
}

impl NetworkBuilder {
    /// How many threads carry connections (default 1, at most 64).
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 64);
        self
    }

    /// Whether the threads poll instead of sleeping (default off).
    ///
    /// It takes the wake-up of a sleeping core out of every hop, at the price of one core per thread.
    pub fn busy_poll(mut self, on: bool) -> Self {
        self.busy_poll = on;
        self
    }

    /// What packets go through on their way to and from the sockets (default nothing).
    pub fn conditioner(mut self, conditioner: &Conditioner) -> Self {
        self.conditioner = Some(conditioner.clone());
        self
    }

    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn build(self) -> io::Result<Network> {
        let threads = (0..self.threads)
            .map(|at| Thread::start(&format!("farfire-net-{at}"), true, self.busy_poll))
            .collect::<io::Result<_>>()?;
        let timer = Thread::start("farfire-timer", false, false)?;
        let (deadlines, keeper) = timer.keep_deadlines();
        let inner = Inner {
            threads,
            timer,
            deadlines,
            keeper,
            next: AtomicUsize::new(0),
            endpoints: Mutex::default(),
            conditioner: self.conditioner,
            busy_poll: self.busy_poll,
            #[cfg(feature = "testing")]
            simulated: None,
        };
        Ok(Network {
            inner: Arc::new(inner),
        })
    }
}

impl Thread {
    fn start(name: &str, network: bool, busy_poll: bool) -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().event_interval(EVENT_INTERVAL);
        if network {
            builder.enable_io();
        }
        let runtime = builder.build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name(name.into()).spawn(move || {
            THREAD.set(number);
            if busy_poll {
                runtime.spawn(async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
            }
            // Nothing else runs in here: work inside `block_on` itself is polled late.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self {
            runtime: handle,
            number,
            _stop: stop,
        })
    }

    fn keep_deadlines(&self) -> (Arc<Deadlines>, AbortHandle) {
        let deadlines = Arc::<Deadlines>::default();
        let keeper = self.runtime.spawn(deadlines.clone().keep());
        (deadlines, keeper.abort_handle())
    }
}

/// The runtime that this is called on, else a small one that farfire makes once per process.
///
/// Asynchronous handlers go there that are not ready at once.
pub(crate) fn program_runtime() -> io::Result<Handle> {
    static OWN: Mutex<Option<Runtime>> = Mutex::new(None);
    if let Ok(handle) = Handle::try_current() {
        return Ok(handle);
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*own {
        return Ok(runtime.handle().clone());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(PROGRAM_THREADS)
        .thread_name("farfire-program")
        .enable_all()
        .build()?;
    Ok(own.insert(runtime).handle().clone())
}

/// The number of the network thread that this runs on; 0 elsewhere.
pub(crate) fn current_thread() -> usize {
    THREAD.get()
}

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// For programs without a runtime, whose handlers seldom wait.
const PROGRAM_THREADS: usize = 2;
/// Tasks polled between two looks at the sockets: with tokio's default of 61, a fan-out would keep
/// arriving packets waiting for most of a millisecond.
const EVENT_INTERVAL: u32 = 31;

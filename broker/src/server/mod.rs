//! Sockets and threads around the state machine.
//!
//! ```text
//!   acceptor ──> one thread a connection: read frame ─> decode ─> Core::handle ─> encode ─> write
//!                                                                    │ replies of others
//!   ticker ────> Core::tick when the next deadline is due ───────────┴──> their connections' mailboxes
//! ```
//!
//! # Invariants
//!
//! - **One lock:** the machine, the mailboxes and the switch are behind it, and no thread holds it while
//!   it reads, writes, decodes or encodes.
//! - **One request in flight a connection,** so a mailbox never holds more than one reply and one order to close.
//! - **Every thread ends when the server stops:** sockets are shut down, mailboxes told, the acceptor woken.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::clock::Clock;
use self::connection::Connection;
use self::threads::Threads;
use crate::core::Core;
use crate::request::{ConnectionId, Outcome, Reply};

pub(crate) mod clock;
mod connection;
mod threads;

/// Connections beyond this number are closed as soon as they are accepted.
const CONNECTIONS_MAX: usize = 2_000;
/// The longest that the ticker sleeps.
const TICK_MAX: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Threads,
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the ticker when there is an earlier deadline, and whoever waits for a fault to strike.
    changed: Condvar,
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core,
    connections: BTreeMap<ConnectionId, Peer>,
    connections_made: u64,
    ticker_wakes_ms: i64,
    pub(crate) power: Power,
}

/// Whether the broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// As if the process were down: connections are closed as soon as they are made.
    Down,
    /// The server ends.
    Off,
}

/// A connection as others see it.
#[derive(Debug)]
struct Peer {
    mailbox: SyncSender<Outcome>,
    socket: TcpStream,
}

impl Server {
    /// Binds, then serves what `make` builds for the bound port.
    ///
    /// # Errors
    ///
    /// The address cannot be resolved or bound.
    pub(crate) fn start(
        host: &str,
        port: u16,
        make: impl FnOnce(u16, i64) -> Core,
    ) -> io::Result<Self> {
        let address = (host, port)
            .to_socket_addrs()?
            .next()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let clock = Clock::start();
        let core = make(address.port(), clock.now_ms());
        let state = State {
            core,
            connections: BTreeMap::new(),
            connections_made: 0,
            ticker_wakes_ms: i64::MAX,
            power: Power::On,
        };
        let shared = Arc::new(Shared {
            clock,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let mut server = Self {
            shared,
            address,
            threads: Threads::default(),
        };
        let shared = Arc::clone(&server.shared);
        server
            .threads
            .start("onceflow-broker-ticker", move || shared.tick_until_off())?;
        let shared = Arc::clone(&server.shared);
        server.threads.start("onceflow-broker-acceptor", move || {
            shared.accept_until_off(&listener)
        })?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn wake_acceptor(&self) {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        // Refused means that the acceptor is gone already.
        drop(TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.cut_off(Power::Off);
        self.wake_acceptor();
        self.threads.join();
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of one connection's thread must not take the broker from the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Lets `change` work on the machine, then delivers what it has to say and plans the next tick.
    pub(crate) fn step<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.core);
        let replies = state.core.tick(self.now_ms());
        state.deliver(replies);
        self.changed.notify_all();
        result
    }

    /// Waits until `happened` or the time is over; says which.
    pub(crate) fn wait_until(
        &self,
        timeout: Duration,
        mut happened: impl FnMut(&mut Core) -> bool,
    ) -> bool {
        let until_ms = self.now_ms() + i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX / 4);
        let mut state = self.lock();
        loop {
            if happened(&mut state.core) {
                return true;
            }
            let left_ms = u64::try_from(until_ms - self.now_ms()).unwrap_or(0);
            if left_ms == 0 {
                return false;
            }
            let waited = self
                .changed
                .wait_timeout(state, Duration::from_millis(left_ms));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Cuts all connections and sets the switch.
    pub(crate) fn cut_off(&self, power: Power) {
        let mut state = self.lock();
        state.power = power;
        state.close_all();
        self.changed.notify_all();
    }

    /// Cuts all connections; the clients may come back at once.
    pub(crate) fn close_connections(&self) {
        self.lock().close_all();
    }

    fn tick_until_off(&self) {
        let mut state = self.lock();
        while state.power != Power::Off {
            if state.power == Power::On {
                let replies = state.core.tick(self.now_ms());
                state.deliver(replies);
            }
            let next_ms = state
                .core
                .next_deadline_ms()
                .filter(|_| state.power == Power::On);
            state.ticker_wakes_ms = next_ms.unwrap_or(i64::MAX);
            let sleep = next_ms.map_or(TICK_MAX, |next_ms| {
                let left_ms = u64::try_from(next_ms - self.now_ms()).unwrap_or(0);
                Duration::from_millis(left_ms).min(TICK_MAX)
            });
            let waited = self
                .changed
                .wait_timeout(state, sleep.max(Duration::from_micros(500)));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn accept_until_off(self: &Arc<Self>, listener: &TcpListener) {
        let mut threads = Threads::default();
        while self.lock().power != Power::Off {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: some connection has to end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    threads::pause(Duration::from_millis(50));
                    continue;
                }
            };
            threads.reap();
            match Connection::open(self, socket) {
                Ok(Some(connection)) => {
                    if let Err(error) =
                        threads.start("onceflow-broker-connection", move || connection.serve())
                    {
                        tracing::warn!(%error, "cannot start a thread for a connection");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "connection ended before it began"),
            }
        }
        threads.join();
    }
}

impl State {
    fn deliver(&mut self, replies: Vec<Reply>) {
        for reply in replies {
            if let Some(peer) = self.connections.get(&reply.connection)
                && peer.mailbox.try_send(reply.outcome).is_err()
            {
                tracing::debug!(
                    connection = reply.connection.0,
                    "connection is gone, its reply is dropped"
                );
            }
        }
    }

    fn close_all(&mut self) {
        for (_, peer) in std::mem::take(&mut self.connections) {
            // Both can fail only because the connection is ending anyway.
            drop(peer.mailbox.try_send(Outcome::Close));
            drop(peer.socket.shutdown(std::net::Shutdown::Both));
        }
    }

    fn has_room(&self) -> bool {
        self.power == Power::On && self.connections.len() < CONNECTIONS_MAX
    }
}

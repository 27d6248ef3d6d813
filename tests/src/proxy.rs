//! A TCP proxy before a broker that loses what a test wants lost.
//!
//! ```text
//!   client ──frames──> [ rules ] ──> broker        a frame: length (4), then for a request
//!          <── frames by correlation id ──         api key (2), version (2), correlation id (4),
//!                                                  client id (2 + n)
//! ```
//!
//! The embedded broker injects such faults itself; this is how Apache Kafka gets them. The
//! broker advertises the proxy's address on a listener of its own, so clients never leave it.
//!
//! # Invariants
//!
//! - **Lost means lost with its connection**, as a network loses things: what was sent before on
//!   the connection arrives, what comes after does not.
//! - **A lost answer was given**: the request has taken effect by the time that the connection
//!   closes.

use std::{
    collections::BTreeSet,
    fmt,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{error::HarnessError, wait::spawn};

/// Frames larger than this are none of a test's.
const FRAME_BYTES_MAX: usize = 100 << 20;

/// What happens to a request that a rule strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It never arrives.
    Request,
    /// It takes effect, and nobody is told.
    Answer,
}

/// Which requests are lost.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) api_key: i16,
    pub(crate) client_id: String,
    pub(crate) loss: Loss,
    /// How many more; `None` for all.
    pub(crate) left: Option<u64>,
}

/// A running proxy. Dropping it cuts every connection.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    rules: Vec<(u64, Rule)>,
    made: u64,
    hits: Vec<u64>,
    /// Both ends of every connection made; ends that are gone are shut down in vain.
    connections: Vec<TcpStream>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loss that a request meets, if any.
    fn strike(&self, api_key: i16, client_id: &str) -> Option<Loss> {
        let mut state = self.lock();
        let (id, rule) = state.rules.iter_mut().find(|(_, rule)| {
            rule.left != Some(0) && rule.api_key == api_key && rule.client_id == client_id
        })?;
        rule.left = rule.left.map(|left| left - 1);
        let (id, loss) = (*id, rule.loss);
        state.hits.push(id);
        Some(loss)
    }
}

impl Proxy {
    /// Listens on a port of its own and forwards to `broker`, which need not run yet.
    pub(crate) fn start(port: u16, broker: SocketAddr) -> Result<Self, HarnessError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(HarnessError::file("the proxy's port"))?;
        let address = listener
            .local_addr()
            .map_err(HarnessError::file("the proxy's port"))?;
        let shared: Arc<Shared> = Arc::default();
        let accepting = Arc::clone(&shared);
        // Not joined: it ends with the proxy's last connection, which is to itself.
        drop(spawn("proxy", move || {
            accept(&listener, broker, &accepting)
        }));
        Ok(Self { address, shared })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a rule; answers its number.
    pub(crate) fn add(&self, rule: Rule) -> u64 {
        let mut state = self.shared.lock();
        state.made += 1;
        let id = state.made;
        state.rules.push((id, rule));
        id
    }

    pub(crate) fn remove(&self, id: u64) {
        self.shared.lock().rules.retain(|(other, _)| *other != id);
    }

    /// How often a rule has struck.
    pub(crate) fn hits(&self, id: u64) -> usize {
        self.shared
            .lock()
            .hits
            .iter()
            .filter(|hit| **hit == id)
            .count()
    }

    /// Cuts all connections; clients may come back at once.
    pub(crate) fn cut(&self) {
        for connection in self.shared.lock().connections.drain(..) {
            shut(&connection);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.cut();
        // The accepting thread looks up when somebody connects.
        drop(TcpStream::connect(self.address));
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.address)
    }
}

fn accept(listener: &TcpListener, broker: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        let Ok(client) = client else { continue };
        if let Err(error) = connect(client, broker, shared) {
            tracing::debug!(%error, "the proxy cannot reach its broker");
        }
    }
}

fn connect(client: TcpStream, broker: SocketAddr, shared: &Arc<Shared>) -> std::io::Result<()> {
    let broker = TcpStream::connect(broker)?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    shared
        .lock()
        .connections
        .extend([client.try_clone()?, broker.try_clone()?]);
    let lost: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
    let requests = Way {
        from: client.try_clone()?,
        to: broker.try_clone()?,
    };
    let answers = Way {
        from: broker,
        to: client,
    };
    let (losing, shared) = (Arc::clone(&lost), Arc::clone(shared));
    drop(spawn("proxy-requests", move || {
        requests.forward(|frame| judge(frame, &shared, &losing))
    }));
    drop(spawn("proxy-answers", move || {
        answers.forward(|frame| {
            let correlation_id = i32_at(frame, 0);
            let lost = lost.lock().unwrap_or_else(PoisonError::into_inner);
            !correlation_id.is_some_and(|id| lost.contains(&id))
        });
    }));
    Ok(())
}

/// Whether a request passes; one whose answer is to be lost is remembered.
fn judge(frame: &[u8], shared: &Shared, lost: &Mutex<BTreeSet<i32>>) -> bool {
    let Some((api_key, correlation_id, client_id)) = header(frame) else {
        return true;
    };
    match shared.strike(api_key, client_id) {
        None => true,
        Some(Loss::Request) => false,
        Some(Loss::Answer) => {
            lost.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(correlation_id);
            true
        }
    }
}

/// One direction of a connection.
struct Way {
    from: TcpStream,
    to: TcpStream,
}

impl Way {
    /// Forwards frames until one does not pass or an end is gone, then closes both ends.
    fn forward(mut self, passes: impl Fn(&[u8]) -> bool) {
        while let Some(frame) = self.next_frame() {
            if !passes(&frame[4..]) || self.to.write_all(&frame).is_err() {
                break;
            }
        }
        shut(&self.from);
        shut(&self.to);
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 4];
        self.from.read_exact(&mut frame).ok()?;
        let length = usize::try_from(i32_at(&frame, 0)?).ok()?;
        if length > FRAME_BYTES_MAX {
            return None;
        }
        frame.resize(4 + length, 0);
        self.from.read_exact(&mut frame[4..]).ok()?;
        Some(frame)
    }
}

/// Api key, correlation id and client id of a request.
fn header(frame: &[u8]) -> Option<(i16, i32, &str)> {
    let api_key = i16_at(frame, 0)?;
    let correlation_id = i32_at(frame, 4)?;
    let length = usize::try_from(i16_at(frame, 8)?).ok()?;
    let client_id = frame.get(10..10 + length)?;
    Some((
        api_key,
        correlation_id,
        std::str::from_utf8(client_id).ok()?,
    ))
}

fn i16_at(bytes: &[u8], at: usize) -> Option<i16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(i16::from_be_bytes)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(i32::from_be_bytes)
}

fn shut(connection: &TcpStream) {
    if let Err(error) = connection.shutdown(Shutdown::Both) {
        tracing::trace!(%error, "the connection was shut before");
    }
}

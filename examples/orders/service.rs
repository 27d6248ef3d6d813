//! The payment service: a process of its own in life, here a socket of the parent's, which outlives
//! every worker.
//!
//! ```text
//!   worker ── {"id":7,"cents":1999}\n ──> service ──> ledger
//!          <── "Charged"\n or "Known"\n ──
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use onceflow_examples::Result;

use crate::ledger::Ledger;
use crate::model::{Answer, Order};

/// A service that does not answer for so long is away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the service over these books; answers where it is.
pub(crate) fn open(ledger: Arc<Ledger>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    start("payments", move || {
        // One thread a connection: there are as many as workers have tasks.
        for connection in listener.incoming().flatten() {
            let ledger = Arc::clone(&ledger);
            let serving = move || drop(serve(&connection, &ledger));
            if let Err(error) = start("payments-connection", serving) {
                tracing::warn!(%error, "a connection was turned away");
            }
        }
    })?;
    Ok(address)
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run)?;
    Ok(())
}

/// Answers until the worker hangs up, or dies.
fn serve(connection: &TcpStream, ledger: &Ledger) -> Result<()> {
    connection.set_nodelay(true)?;
    for line in BufReader::new(connection).lines() {
        let order: Order = serde_json::from_str(&line?)?;
        send(connection, &serde_json::to_vec(&ledger.charge(order))?)?;
    }
    Ok(())
}

/// A line in one write: two would wait for each other's acknowledgement.
fn send(mut connection: &TcpStream, line: &[u8]) -> Result<()> {
    connection.write_all(&[line, b"\n"].concat())?;
    Ok(())
}

/// A connection to the service.
#[derive(Debug)]
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let connection = BufReader::new(connection);
        Ok(Client { connection })
    }

    /// Has an order charged.
    pub(crate) fn charge(&mut self, order: &Order) -> Result<Answer> {
        send(self.connection.get_ref(), &serde_json::to_vec(order)?)?;
        let mut answer = String::new();
        self.connection.read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }
}

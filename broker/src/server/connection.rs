//! One client connection: read, decode, ask the machine, encode, write, and again.
//!
//! # Invariants
//!
//! - **A frame is never larger than [`FRAME_BYTES_MAX`]**, and what it claims to hold is read as it comes.
//! - **Whatever ends a connection, the machine hears of it.**

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use super::{Peer, Shared};
use crate::request::{ConnectionId, Outcome, Request};
use crate::wire::{self, Body, Frame};

/// The largest request accepted: `socket.request.max.bytes`.
const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;
/// One reply and one order to close.
const MAILBOX_MAX: usize = 2;

/// A connection and the thread that serves it.
#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    shared: Arc<Shared>,
    socket: TcpStream,
    mailbox: Receiver<Outcome>,
    client_host: String,
}

impl Connection {
    /// Takes a socket in; `None` when the broker is down or full.
    pub(super) fn open(shared: &Arc<Shared>, socket: TcpStream) -> io::Result<Option<Self>> {
        socket.set_nodelay(true)?;
        let client_host = format!("/{}", socket.peer_addr()?.ip());
        let (sender, mailbox) = sync_channel(MAILBOX_MAX);
        let peer = Peer {
            mailbox: sender,
            socket: socket.try_clone()?,
        };
        let mut state = shared.lock();
        if !state.has_room() {
            return Ok(None);
        }
        state.connections_made += 1;
        let id = ConnectionId(state.connections_made);
        state.connections.insert(id, peer);
        Ok(Some(Self {
            id,
            shared: Arc::clone(shared),
            socket,
            mailbox,
            client_host,
        }))
    }

    /// Serves the connection until it ends.
    pub(super) fn serve(mut self) {
        if let Err(error) = self.serve_requests() {
            tracing::debug!(connection = self.id.0, %error, "connection ended");
        }
    }

    fn serve_requests(&mut self) -> io::Result<()> {
        while let Some(frame) = self.read_frame()? {
            let frame = wire::decode(frame).map_err(io::Error::other)?;
            let (version, correlation_id) = (frame.version, frame.correlation_id);
            match self.outcome_of(frame) {
                Outcome::Answer(response) => self.answer(&response, correlation_id, version)?,
                Outcome::Silence => {}
                Outcome::Close => return Ok(()),
            }
        }
        Ok(())
    }

    fn outcome_of(&self, frame: Frame) -> Outcome {
        match frame.body {
            Body::UnknownApiVersions => Outcome::Answer(Box::new(wire::unknown_api_versions())),
            Body::Request(body) => self.ask(frame.version, frame.client_id, *body),
        }
    }

    /// Steps the machine with a request and waits for its reply.
    fn ask(&self, version: i16, client_id: String, body: RequestKind) -> Outcome {
        let client_host = self.client_host.clone();
        let request = Request {
            connection: self.id,
            version,
            client_id,
            client_host,
            body,
        };
        let mut own = None;
        {
            let mut state = self.shared.lock();
            if !state.connections.contains_key(&self.id) {
                // Cut off while the request was being read: it must not reach a broker that has
                // been restarted since.
                return Outcome::Close;
            }
            let mut replies = state.core.handle(self.shared.now_ms(), request);
            if let Some(at) = replies.iter().position(|reply| reply.connection == self.id) {
                own = Some(replies.swap_remove(at).outcome);
            }
            state.deliver(replies);
            let earlier = state
                .core
                .next_deadline_ms()
                .is_some_and(|at_ms| at_ms < state.ticker_wakes_ms);
            if earlier || state.core.faults_ref().have_struck() {
                self.shared.changed.notify_all();
            }
        }
        // A closed mailbox means that the server has let go of this connection.
        own.or_else(|| self.mailbox.recv().ok())
            .unwrap_or(Outcome::Close)
    }

    fn answer(
        &mut self,
        response: &ResponseKind,
        correlation_id: i32,
        version: i16,
    ) -> io::Result<()> {
        let frame = wire::encode(response, correlation_id, version).map_err(|error| {
            tracing::error!(%error, "a response could not be encoded");
            io::Error::other(error)
        })?;
        self.socket.write_all(&frame)
    }

    /// The next frame, or `None` at the end of the stream.
    fn read_frame(&mut self) -> io::Result<Option<Bytes>> {
        let mut length = [0; 4];
        match self.socket.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other("frame length is out of bounds"));
        }
        let mut frame = vec![0; length];
        self.socket.read_exact(&mut frame)?;
        Ok(Some(Bytes::from(frame)))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.connections.remove(&self.id);
        state.core.disconnect(self.id);
        // The client may have shut its side down already.
        drop(self.socket.shutdown(std::net::Shutdown::Both));
    }
}

//! The connection breaks around `COMMIT`: whether it went through is looked up, not guessed.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use onceflow_tests::{
    Cluster,
    ledger::{Ledger, no_hook},
    postgres::Postgres,
    rows,
    wait::spawn,
};

use super::{start, tables};

/// What becomes of the commit that is counted down to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// The server never gets it.
    Commit,
    /// The server has done it, and nobody hears.
    Answer,
}

/// Breaks a connection at every so-many-th `COMMIT` that comes by.
struct Breaker {
    countdown: AtomicI64,
    every: i64,
    lost: Lost,
    broken: AtomicI64,
}

impl Breaker {
    fn strikes(&self) -> bool {
        let strikes = self.countdown.fetch_sub(1, Ordering::SeqCst) == 0;
        if strikes {
            self.countdown.store(self.every, Ordering::SeqCst);
            self.broken.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }
}

/// Listens for sinks, and answers the port.
fn listen(server: PathBuf, breaker: Arc<Breaker>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Not joined: it ends with the process.
    drop(spawn("breaker", move || {
        for sink in listener.incoming().flatten() {
            serve(sink, &server, &breaker);
        }
    }));
    port
}

fn serve(sink: TcpStream, server: &Path, breaker: &Arc<Breaker>) {
    let Ok(server) = UnixStream::connect(server) else {
        return;
    };
    let deaf = Arc::new(AtomicBool::new(false));
    let (mut answers, mut back) = (server.try_clone().unwrap(), sink.try_clone().unwrap());
    let (breaker, deafened) = (Arc::clone(breaker), Arc::clone(&deaf));
    drop(spawn("answers", move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            if deafened.load(Ordering::SeqCst) || back.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        drop(back.shutdown(Shutdown::Both));
    }));
    drop(spawn("requests", move || {
        drop(requests(sink, server, &breaker, &deaf));
    }));
}

/// Hands messages on: a kind, a length, a text; the first has no kind.
fn requests(
    mut sink: TcpStream,
    mut server: UnixStream,
    breaker: &Breaker,
    deaf: &AtomicBool,
) -> std::io::Result<()> {
    let mut is_first = true;
    loop {
        let mut message = vec![0; if is_first { 4 } else { 5 }];
        if sink.read_exact(&mut message).is_err() {
            return server.shutdown(Shutdown::Both);
        }
        let kind = message[0];
        let length = &message[message.len() - 4..];
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let head = message.len();
        message.resize(head + usize::try_from(length).expect("small") - 4, 0);
        sink.read_exact(&mut message[head..])?;
        if !is_first && kind == b'Q' && message[head..].starts_with(b"COMMIT") && breaker.strikes()
        {
            match breaker.lost {
                Lost::Answer => deaf.store(true, Ordering::SeqCst),
                Lost::Commit => {
                    sink.shutdown(Shutdown::Both)?;
                    return server.shutdown(Shutdown::Both);
                }
            }
        }
        is_first = false;
        server.write_all(&message)?;
    }
}

fn breaks_at_every_fourth_commit(lost: Lost) {
    let ledger = Ledger::new(Cluster::shared(), "pg-doubt", 2);
    let postgres = Postgres::shared();
    let database = tables(postgres, "doubt");
    let breaker = Arc::new(Breaker {
        countdown: AtomicI64::new(3),
        // Odd, with the attempt that follows: it falls on the sinks of a task in turn.
        every: 3,
        lost,
        broken: AtomicI64::new(0),
    });
    let port = listen(postgres.socket(), Arc::clone(&breaker));
    let name = database.connection.split_once("user=").unwrap().1;
    let connection = format!("host=127.0.0.1 port={port} user={name}");
    let topology = rows::topology(&ledger.topics, &connection, no_hook()).unwrap();
    let program = start(topology, ledger.config("a"));
    for _ in 0..3 {
        ledger.feed(100);
        ledger.wait_for_all();
    }
    program.close().unwrap();
    let broken = breaker.broken.load(Ordering::SeqCst);
    assert!(broken >= 3, "only {broken} commits were broken");
    rows::audit(&ledger, &database);
}

#[test]
fn commits_that_were_done_unheard_are_not_done_again() {
    breaks_at_every_fourth_commit(Lost::Answer);
}

#[test]
fn commits_that_never_arrived_are_done_again() {
    breaks_at_every_fourth_commit(Lost::Commit);
}

//! A worker of the ledger application, in a process that can be killed.
//!
//! Its orders come as JSON in its one argument. It reports what happens on stdout, a line each,
//! and logs to stderr. On stdin it is told to `go` on from the point where it holds; when stdin
//! ends, it closes and leaves the group.

use std::{
    io::{BufRead, Write, stdin, stdout},
    process::{ExitCode, abort},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use onceflow_framework::{
    App, BatchPoint, Config, Error, handler::UncaughtResponse, processor::AsyncCalls,
};
use onceflow_tests::{
    ledger::{no_hook, slow_service},
    naming, poisoned, punctual, refused, rows,
    wait::spawn,
    worker::{Application, At, CLOSE_TIMEOUT, Orders, Then},
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let orders = std::env::args().nth(1).expect("one argument: the orders");
    let orders: Orders = serde_json::from_str(&orders).expect("orders are as the test wrote them");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime can be built");
    match runtime.block_on(run(orders)) {
        Ok(()) => {
            report("closed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            report(&format!("failed {:?} {error}", error.kind()));
            ExitCode::FAILURE
        }
    }
}

async fn run(orders: Orders) -> Result<(), Error> {
    let gate = Arc::new(Gate::default());
    let config = Config::from_properties(orders.properties)?;
    let exits = matches!(orders.application, Application::Poisoned(_));
    let topology = match orders.application {
        Application::Ledger => orders.topics.topology(no_hook())?,
        Application::Asking => {
            let calls = AsyncCalls::new();
            orders.topics.asking(no_hook(), slow_service(), calls)?
        }
        Application::Punctual => punctual::topology(&orders.topics)?,
        Application::Naming => naming::topology(&orders.topics)?,
        Application::Rows(connection) => rows::topology(&orders.topics, &connection, no_hook())?,
        Application::Journal(connection) => rows::journal(&orders.topics, &connection)?,
        Application::Poisoned(come) => poisoned::topology(&orders.topics, come)?,
        Application::Refused => refused::topology(&orders.topics)?,
    };
    let app = App::new(topology, config)?;
    let app = match exits {
        true => app.uncaught_exception_handler(|_: &Error| UncaughtResponse::ExitProcess),
        false => app,
    };
    let observer = orders.at.map(|at| observer(at, Arc::clone(&gate)));
    let app = match observer {
        Some(observer) => app.with_batch_observer(observer),
        None => app,
    };
    let mut states = app.watch();
    app.start().await?;
    let (closing, closed) = tokio::sync::oneshot::channel();
    let reader = spawn("orders", move || {
        for line in stdin().lock().lines() {
            if line.is_ok_and(|line| line == "go") {
                gate.open();
            }
        }
        gate.open();
        if closing.send(()).is_err() {
            tracing::debug!("the application has failed already");
        }
    });
    drop(reader);
    let telling = async {
        loop {
            report(&format!("state {}", *states.borrow_and_update()));
            if states.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        ended = app.wait() => ended,
        () = telling => unreachable!("it tells for ever"),
        _ = closed => app.close(CLOSE_TIMEOUT).await,
    }
}

/// Does what is ordered when the point is reached for the ordered time, and from there on tells
/// each commit.
fn observer(at: At, gate: Arc<Gate>) -> impl Fn(BatchPoint) + Send + Sync {
    let reached = AtomicU64::new(0);
    move |point| {
        if point == BatchPoint::AfterCommit && reached.load(Ordering::Relaxed) >= at.occurrence {
            report("reached AfterCommit");
        }
        if format!("{point:?}") != at.point {
            return;
        }
        if reached.fetch_add(1, Ordering::Relaxed) + 1 != at.occurrence {
            return;
        }
        match at.what {
            Then::Abort => {
                report(&format!("aborting at {}", at.point));
                abort();
            }
            Then::Hold => {
                report(&format!("holding at {}", at.point));
                gate.wait();
                report(&format!("going on at {}", at.point));
            }
        }
    }
}

/// Shut until it is opened once.
#[derive(Default)]
struct Gate {
    opened: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(opened, |opened| !*opened);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tells the test; a line is written at once, so that a crash does not swallow it.
fn report(line: &str) {
    let mut out = stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    // The test is gone: there is nobody to tell, and stdin ends as well.
    drop(written);
}

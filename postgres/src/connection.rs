//! The way to the server: threads that drive connections, and waiting for them from a worker.
//!
//! # Invariants
//!
//! - A worker's thread waits for the database in [`Background::wait`] and nowhere else, and what it
//!   waits for has a limit.
//! - A connection that has failed is never used again; dropping it closes its socket at once, so
//!   that the server ends what was under way.

use std::fmt;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Error, Socket};

/// One thread is enough: it moves bytes between sockets and channels.
const THREADS: usize = 1;

/// What is set on each connection. Time-outs end a transaction whose client has vanished, so that
/// its successor finds the positions free; a commit that is answered has to be on disk.
const SETTINGS: &str = "\
    SET client_min_messages = warning;
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off'";

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The threads that drive the connections of a sink.
pub(crate) struct Background {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Background {
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("onceflow-postgres")
            .enable_all()
            .build()?;
        Ok(Background {
            runtime: Some(runtime),
        })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }

    /// Waits for a future on this thread, which may be one of the application's runtime: a test
    /// driver is called from anywhere.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        let _inside = self.runtime().enter();
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last sink may be dropped by an async task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Lets time pass.
pub(crate) async fn pause(span: Duration) {
    let elapsed = tokio::time::timeout(span, pending::<()>()).await;
    elapsed.expect_err("nothing else ends it");
}

/// A connection, and the task that drives it.
pub(crate) struct Connection {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects; called within [`Background::wait`].
    pub(crate) async fn open(connector: &dyn Connect, config: &Config) -> Result<Self, Error> {
        let mut config = config.clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("onceflow");
        }
        let (client, driver) = connector.connect(&config).await?;
        let driver = tokio::runtime::Handle::current().spawn(driver);
        let connection = Connection { client, driver };
        connection.client.batch_execute(SETTINGS).await?;
        Ok(connection)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Makes connections, encrypted or not.
pub(crate) trait Connect: Send + Sync {
    fn connect<'a>(&'a self, config: &'a Config) -> BoxFuture<'a, Connected>;
}

/// A client, and what drives it.
type Connected = Result<(Client, BoxFuture<'static, ()>), Error>;

pub(crate) struct Connector<T>(pub(crate) T);

impl<T> Connect for Connector<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect<'a>(&'a self, config: &'a Config) -> BoxFuture<'a, Connected> {
        let tls = self.0.clone();
        async move {
            let (client, connection) = config.connect(tls).await?;
            // What ends a connection is told to whoever waits for an answer on it.
            Ok((client, connection.map(drop).boxed()))
        }
        .boxed()
    }
}

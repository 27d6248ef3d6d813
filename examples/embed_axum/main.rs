//! A web service with a topology inside: what it counts is read over HTTP, from its own store.
//!
//! ```text
//!                    ┌───────────────── one process ─────────────────┐
//!   visits (Kafka) ──│──> workers: count by page ──> store           │
//!                    │                                 ^ query       │
//!   GET /visits/home │──> axum: handlers ──────────────┘             │
//!   GET /health      │      200 once the application runs, else 503  │
//!                    └───────────────────────────────────────────────┘
//! ```
//!
//! [`service`] and its [`routes`] are all that such a program needs. Without `--serve` this one visits pages, asks
//! itself over HTTP how often, holds the answers against what it wrote ([`audit`]), and ends.

mod arguments;
mod topology;
mod routes;
mod service;
mod client;
mod heard;
mod visits;
mod audit;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use onceflow::Config;
use onceflow_examples::clock::wait_until;
use onceflow_examples::random::{Random, unpredictable};
use onceflow_examples::run::{Run, conclude};
use onceflow_examples::shutdown::{Interrupt, signalled};
use onceflow_examples::text::count;
use onceflow_examples::{Result, report};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use arguments::Arguments;
use client::Client;
use topology::{VISITS, visits_by_page};

/// How long the application may take until it runs.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    conclude(|interrupt| embed(&arguments, interrupt))
}

fn embed(arguments: &Arguments, interrupt: &Interrupt) -> Result<bool> {
    let run = Run::connect("embed-axum", &arguments.place)?;
    let topic = run.named(VISITS);
    run.cluster.create_topics(&[&topic], arguments.partitions)?;
    let tokio = Runtime::new()?;
    let mut server = Server::start(&tokio, &run, &topic, arguments.port)?;
    opening(&run, &server, arguments);
    let passed = converse(&tokio, &run, &topic, (arguments, interrupt), &mut server)?;
    let changelog = format!("{}-{VISITS}-changelog", run.worker().application_id);
    run.clear(passed, &[&topic, &changelog])?;
    Ok(passed)
}

fn converse(
    tokio: &Runtime,
    run: &Run,
    topic: &str,
    (arguments, interrupt): (&Arguments, &Interrupt),
    server: &mut Server,
) -> Result<bool> {
    server.wait_until_healthy(tokio, interrupt)?;
    let seed = arguments.seed.unwrap_or_else(unpredictable);
    let made = visits::made(&mut Random::seeded(seed), arguments.visits);
    let heard = visits::make_and_ask(&run.cluster, topic, &made, &server.client, interrupt)?;
    if arguments.serve {
        report::line("Visit it yourself, and end it with Ctrl-C:");
        for path in ["/health", "/visits", "/visits/home"] {
            report::line(&format!("curl http://{}{path}", server.address));
        }
        server.end(tokio)?;
        return Ok(true);
    }
    let stranger = server.client.get("/visits/nobody-was-here")?.status;
    server.stop();
    let ended = server.end(tokio);
    let refuses = server.client.get("/health").is_err();
    for (page, answer) in &heard.last {
        report::row(page, &count(*answer), "visits");
    }
    report::gap();
    let findings = audit::audit(&made, &heard, stranger, (ended, refuses));
    let proven = "the service told what its application had counted, exactly.";
    Ok(report::verdict(&findings, proven, report::REPORT_IT))
}

fn opening(run: &Run, server: &Server, arguments: &Arguments) {
    report::heading("A web service with a topology inside");
    report::setting("broker", &run.broker());
    report::setting("service", &format!("http://{}", server.address));
    report::setting("visits", &count(arguments.visits));
    report::gap();
}

/// The service, in this process.
struct Server {
    address: SocketAddr,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<()>>>,
}

impl Server {
    fn start(tokio: &Runtime, run: &Run, topic: &str, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let worker = run.worker();
        let config = Config::builder(&worker.application_id, &worker.bootstrap_servers)
            .num_stream_threads(2)
            .build()?;
        let (stop, told) = oneshot::channel();
        let stopped = async {
            tokio::select! {
                _ = told => {}
                () = signalled() => {}
            }
        };
        let service = service::run(listener, visits_by_page(topic)?, config, stopped);
        Ok(Server {
            address,
            client: Client::of(address),
            stop: Some(stop),
            task: Some(tokio.spawn(service)),
        })
    }

    /// Asks for its health until that is good.
    fn wait_until_healthy(&mut self, tokio: &Runtime, interrupt: &Interrupt) -> Result<()> {
        let healthy = wait_until(STARTS_WITHIN, || {
            interrupt.check()?;
            if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
                self.end(tokio)?;
                return Err("the service ended before it was healthy".into());
            }
            Ok(self.client.get("/health")?.status == 200)
        })?;
        if !healthy {
            return Err("the application does not run".into());
        }
        Ok(())
    }

    /// Tells it to end, as a signal would.
    fn stop(&mut self) {
        // The other end is told that this one is gone.
        self.stop = None;
    }

    /// Waits for its end.
    fn end(&mut self, tokio: &Runtime) -> Result<()> {
        match self.task.take() {
            Some(task) => tokio.block_on(task)?,
            None => Ok(()),
        }
    }
}

//! The example's parts on their own, and the whole of it, short.

mod audit;
mod client;
mod heard;
mod routes;
mod topology;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use onceflow::prelude::*;
use onceflow_examples::clock::wait_until;
use onceflow_examples::testing::{example, run_example};

use client::Client;

#[test]
fn an_application_that_does_not_run_is_not_healthy_and_answers_nothing() {
    let tokio = tokio::runtime::Runtime::new().unwrap();
    let topology = topology::visits_by_page("visits").unwrap();
    let config = Config::new("never-started", "localhost:1").unwrap();
    let routes = routes::routes(&Arc::new(App::new(topology, config).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::of(listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    let serving = tokio.spawn(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, routes).await
    });
    let health = client.get("/health").unwrap();
    assert_eq!((health.status, &*health.body), (503, "CREATED"));
    let visits = client.get("/visits/home").unwrap();
    assert_eq!(visits.status, 503, "{}", visits.body);
    serving.abort();
}

#[test]
fn it_asks_itself_and_gets_what_was_counted() {
    let said = run_example("embed_axum", &["--visits=3000"]);
    assert!(said.contains("\nPASSED: the service told"), "{said}");
}

/// Killed if a test ends without it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It has ended by itself, if all went well.
        drop(self.0.kill());
    }
}

#[test]
fn it_serves_until_it_is_told_to_end_and_ends_cleanly() {
    let mut serving = example("embed_axum");
    let serving = serving
        .args(["--serve", "--visits=100"])
        .stdout(Stdio::piped());
    let mut serving = Serving(serving.spawn().unwrap());
    let said = BufReader::new(serving.0.stdout.take().unwrap());
    let mut said = said.lines().map(Result::unwrap);
    let health = said.find(|line| line.contains("/health")).unwrap();
    let (_, address) = health.split_once("http://").unwrap();
    let address: SocketAddr = address.strip_suffix("/health").unwrap().parse().unwrap();
    let client = Client::of(address);
    assert_eq!(client.get("/health").unwrap().status, 200);
    let all = client.get("/visits").unwrap().body;
    let all: std::collections::BTreeMap<String, i64> = serde_json::from_str(&all).unwrap();
    assert_eq!(all.values().sum::<i64>(), 100);
    let id = serving.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let ended = wait_until(Duration::from_secs(30), || {
        Ok(serving.0.try_wait()?.is_some())
    });
    assert!(ended.unwrap(), "it does not end");
    assert!(serving.0.wait().unwrap().success());
    assert!(client.get("/health").is_err());
}

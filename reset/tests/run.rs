//! The program as it is run.

#![expect(
    clippy::unwrap_used,
    reason = "functions that tests share are tests too: what fails, fails the test"
)]

use std::process::{Command, Output};

use onceflow_broker::EmbeddedBroker;

fn run(broker: &EmbeddedBroker, arguments: &[&str]) -> (Output, String) {
    let state = std::env::temp_dir().join("onceflow-reset-tests-nothing-here");
    let output = Command::new(env!("CARGO_BIN_EXE_onceflow-reset"))
        .args(["--application-id", "shop", "--bootstrap-servers"])
        .arg(broker.bootstrap_servers())
        .arg("--state-dir")
        .arg(state)
        .args(arguments)
        .output()
        .unwrap();
    let said = [&*output.stdout, &*output.stderr].concat();
    (output, String::from_utf8(said).unwrap())
}

#[test]
fn it_says_what_it_would_do_and_does_it_when_told_to() {
    let broker = EmbeddedBroker::start().unwrap();
    broker.create_topic("orders", 2).unwrap();
    broker.create_topic("shop-totals-changelog", 2).unwrap();
    let input = ["--input-topics", "orders"];

    for _ in 0..2 {
        let (output, said) = run(&broker, &input);
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("delete   topic shop-totals-changelog"),
            "{said}"
        );
        assert!(said.contains("orders-1"), "{said}");
        assert!(
            said.contains("nothing was changed: add --execute"),
            "{said}"
        );
    }
    let (output, said) = run(&broker, &[&input[..], &["--execute"]].concat());
    assert!(output.status.success(), "{said}");
    assert!(said.contains("\ndone: "), "{said}");
    let (_, said) = run(&broker, &input);
    assert!(!said.contains("shop-totals-changelog"), "{said}");
}

#[test]
fn an_input_topic_that_is_not_there_is_an_error() {
    let broker = EmbeddedBroker::start().unwrap();
    let (output, said) = run(&broker, &["--input-topics", "nowhere", "--execute"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nowhere does not exist"), "{said}");
}

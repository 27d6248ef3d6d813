//! Examples run as their users run them, for tests: what they say, and how they end.

use std::path::PathBuf;
use std::process::Command;

/// Runs an example of this package to its end; answers what it said, on both outputs.
///
/// # Panics
///
/// When it is not built (`cargo test` builds all examples, `cargo test --test` none), and when it
/// does not end with success: then with what it said.
#[must_use]
pub fn run_example(name: &str, arguments: &[&str]) -> String {
    let (success, said) = run(name, arguments);
    assert!(success, "{name} failed:\n{said}");
    said
}

/// As [`run_example`], with an outcome that its audit must find.
///
/// # Panics
///
/// When it is not built, and when it ends with success.
#[must_use]
pub fn run_failing_example(name: &str, arguments: &[&str]) -> String {
    let (success, said) = run(name, arguments);
    assert!(!success, "{name} did not fail:\n{said}");
    said
}

/// The command that runs an example, for tests that talk with it.
///
/// # Panics
///
/// When the test does not know where it is.
#[must_use]
pub fn example(name: &str) -> Command {
    Command::new(program(name))
}

fn run(name: &str, arguments: &[&str]) -> (bool, String) {
    let program = program(name);
    let output = example(name).args(arguments).output();
    let output = output.unwrap_or_else(|error| {
        let program = program.display();
        panic!("{program}: {error}; build it: cargo build -p onceflow-examples --examples")
    });
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

/// Examples are built into a folder beside the tests'.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).expect("tests are two folders down");
    profile.join("examples").join(name)
}

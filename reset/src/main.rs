//! Has a stopped application begin anew: what `kafka-streams-application-reset` does for Java's.
//!
//! ```text
//! onceflow-reset --application-id word-count --bootstrap-servers localhost:9092 --input-topics lines
//! onceflow-reset ... --execute
//! ```
//!
//! The work is done by [`onceflow_framework::reset`], which a program can call as well.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever runs it"
)]

mod arguments;
mod time;

use std::process::ExitCode;

use clap::Parser;
use onceflow_framework::Error;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let plan = arguments.reset()?.plan()?;
    print!("{plan}");
    if !arguments.execute {
        println!("\nnothing was changed: add --execute");
        return Ok(());
    }
    plan.execute()?;
    println!("\ndone: the application begins anew when it is started");
    Ok(())
}

//! Instruction counts of the hot path, kept in a file that may only fall.
//!
//! ```text
//! cargo run --release -p onceflow-benches --bin instructions            # checks, in seconds
//! cargo run --release -p onceflow-benches --bin instructions -- --keep  # writes the file anew
//! ```
//!
//! Each piece runs under `valgrind --tool=callgrind`, which counts only below
//! `measured_by_valgrind`. Counts do not depend on how busy the machine is; they do depend on the
//! compiler and the C library, hence the allowance.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::micro::{cases, measured_by_valgrind};

/// Operations that are counted, after as many that warm up.
const OPERATIONS: u64 = 500;

/// How much more than the file says is let pass, in per cent.
const ALLOWED_PERCENT: u64 = 3;

/// Counts instructions of the hot path and compares them with `benches/instructions.json`.
#[derive(Debug, Parser)]
struct Options {
    /// Write what was counted to the file.
    #[arg(long)]
    keep: bool,
    /// Run one piece, so often: what valgrind is given to count.
    #[arg(long)]
    one: Option<String>,
    /// Another file.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Instructions of one operation, by the name of the piece.
type Counts = BTreeMap<String, u64>;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    if let Some(name) = options.one {
        return run(&name);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let file = options.file.unwrap_or(beside);
    let kept: Counts = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_missing) if options.keep => Counts::new(),
        Err(error) => return Err(error.into()),
    };
    let counts = count()?;
    if options.keep {
        fs::write(&file, serde_json::to_string_pretty(&counts)? + "\n")?;
    }
    let failed = compare(&kept, &counts)?;
    match failed == 0 || options.keep {
        true => Ok(()),
        false => Err(format!(
            "{failed} of {} counts grew; if they must, --keep them",
            counts.len()
        )
        .into()),
    }
}

fn run(name: &str) -> Result<(), Failure> {
    let found = cases().into_iter().find(|case| case.name == name);
    let mut operation = (found.ok_or("no such piece")?.make)();
    for _ in 0..OPERATIONS {
        operation();
    }
    measured_by_valgrind(&mut *operation, OPERATIONS);
    Ok(())
}

fn count() -> Result<Counts, Failure> {
    let folder = tempfile::tempdir()?;
    let mut counts = Counts::new();
    for case in cases() {
        let out = folder.path().join("callgrind.out");
        let status = Command::new("valgrind")
            .args(["--tool=callgrind", "--collect-atstart=no"])
            .arg("--toggle-collect=*measured_by_valgrind*")
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe()?)
            .args(["--one", case.name])
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("valgrind cannot be started ({error}): install valgrind"))?;
        if !status.success() {
            return Err(format!("{} ended with {status} under valgrind", case.name).into());
        }
        let text = fs::read_to_string(&out)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let total: u64 = total.ok_or("callgrind counted nothing")?.trim().parse()?;
        counts.insert(case.name.to_owned(), total / OPERATIONS);
    }
    Ok(counts)
}

/// Prints each count beside the one that was kept; answers how many grew.
fn compare(kept: &Counts, counts: &Counts) -> Result<usize, Failure> {
    let mut failed = 0;
    writeln!(stdout(), "{:24} {:>8} {:>8}", "instructions", "kept", "now")?;
    for (name, &now) in counts {
        let before = kept.get(name).copied().unwrap_or(0);
        let bound = before + before * ALLOWED_PERCENT / 100;
        let verdict = if before == 0 {
            "  new: --keep it"
        } else if now > bound {
            failed += 1;
            "  grew"
        } else if now + before * ALLOWED_PERCENT / 100 < before {
            "  fell: --keep it"
        } else {
            ""
        };
        writeln!(stdout(), "{name:24} {before:>8} {now:>8}{verdict}")?;
    }
    Ok(failed)
}

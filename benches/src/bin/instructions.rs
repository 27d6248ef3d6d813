//! Instruction counts of the hot path, kept in a file as a ratchet.
//!
//! ```text
//! cargo run --release --bin instructions            # checks: fails if a piece needs more
//! cargo run --release --bin instructions -- --keep  # writes the file anew
//! ```
//!
//! Each piece runs under `valgrind --tool=callgrind`, which counts only below
//! `measured_by_valgrind`. Counts do not depend on how busy the machine is; they do depend a little
//! on its C library and its processor's features, and more on the compiler: hence the allowances.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

use clap::Parser;
use onceflow_benches::Failure;
use onceflow_benches::micro::{Case, OPERATIONS, cases, measured_by_valgrind};
use serde::{Deserialize, Serialize};

/// Calls that are counted, after one that warms up.
const CALLS: u64 = 2;

/// How much more than the file says is let pass, in per cent, by the compiler of the file.
const ALLOWED_PERCENT: u64 = 3;

/// As above by another compiler.
const ALLOWED_PERCENT_ELSEWHERE: u64 = 15;

/// Counts instructions of the hot path and compares them with `benches/instructions.json`.
#[derive(Debug, Parser)]
struct Options {
    /// Write what was counted to the file.
    #[arg(long)]
    keep: bool,
    /// Run one piece: what valgrind is given to count.
    #[arg(long)]
    one: Option<String>,
    /// Another file.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The compiler that the counts were made with.
    rustc: String,
    /// Instructions of one operation, by the name of the piece.
    instructions: BTreeMap<String, u64>,
}

fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse();
    if let Some(name) = options.one {
        return run(&name);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let file = options.file.unwrap_or(beside);
    let kept: Kept = match fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_missing) if options.keep => Kept::default(),
        Err(error) => return Err(format!("{}: {error}", file.display()).into()),
    };
    let now = Kept {
        rustc: rustc()?,
        instructions: count()?,
    };
    let failed = compare(&kept, &now)?;
    if options.keep {
        fs::write(&file, serde_json::to_string_pretty(&now)? + "\n")?;
        writeln!(stdout(), "\nkept in {}", file.display())?;
        return Ok(ExitCode::SUCCESS);
    }
    if failed > 0 {
        writeln!(
            stdout(),
            "\n{failed} of these need a decision. Make them cheap again; or, if the change is worth its price, keep \
             the new\ncounts and say why in the commit:  cargo run --release --bin instructions -- --keep"
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn run(name: &str) -> Result<ExitCode, Failure> {
    let found = cases().into_iter().find(|case| case.name == name);
    let mut piece = (found.ok_or("no such piece")?.make)();
    piece();
    measured_by_valgrind(&mut *piece, CALLS);
    Ok(ExitCode::SUCCESS)
}

/// Two at a time: valgrind uses one processor, and the count is the same on a busy one.
fn count() -> Result<BTreeMap<String, u64>, Failure> {
    let folder = tempfile::tempdir()?;
    let (todo, counts) = (Mutex::new(cases()), Mutex::new(BTreeMap::new()));
    let work = || -> Result<(), Failure> {
        loop {
            let next = todo.lock().map_err(|_poison| "another count failed")?.pop();
            let Some(case) = next else { return Ok(()) };
            let instructions = counted(case, folder.path())?;
            let mut counts = counts.lock().map_err(|_poison| "another count failed")?;
            counts.insert(case.name.to_owned(), instructions);
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        let mut ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.try_for_each(|result| result.unwrap_or_else(|_panic| Err("a count panicked".into())))
    })?;
    counts
        .into_inner()
        .map_err(|_poison| "a count panicked".into())
}

fn counted(case: Case, folder: &Path) -> Result<u64, Failure> {
    let out = folder.join(case.name.replace('/', "-"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*measured_by_valgrind*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["--one", case.name])
        .stdout(Stdio::null())
        .output()
        .map_err(|error| {
            format!("valgrind cannot be started ({error}): apt-get install valgrind, or the like")
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{} under valgrind: {}\n{said}", case.name, output.status).into());
    }
    let text = fs::read_to_string(&out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.ok_or("callgrind counted nothing")?.trim().parse()?;
    Ok(total / (CALLS * OPERATIONS))
}

/// Prints each count beside the one that was kept; answers how many need a decision.
fn compare(kept: &Kept, now: &Kept) -> Result<usize, Failure> {
    let mut out = stdout();
    let allowed = match kept.rustc == now.rustc {
        true => ALLOWED_PERCENT,
        false => ALLOWED_PERCENT_ELSEWHERE,
    };
    let (theirs, ours) = (&kept.rustc, &now.rustc);
    writeln!(
        out,
        "instructions for one operation; {allowed} % more are let pass (kept by {theirs}, now {ours})\n"
    )?;
    writeln!(
        out,
        "{:24} {:>8} {:>8} {:>9}",
        "piece", "kept", "now", "change"
    )?;
    let mut failed = 0;
    for (name, &count) in &now.instructions {
        let Some(&before) = kept.instructions.get(name) else {
            failed += 1;
            writeln!(out, "{name:24} {:>8} {count:>8} {:>9}  keep it", "-", "new")?;
            continue;
        };
        let verdict = if count > before + before * allowed / 100 + 1 {
            failed += 1;
            "  GREW"
        } else if count + before * allowed / 100 + 1 < before {
            "  fell: keep it, so that it stays so"
        } else {
            ""
        };
        writeln!(
            out,
            "{name:24} {before:>8} {count:>8} {:>8.1}%{verdict}",
            change(before, count)
        )?;
    }
    for name in kept
        .instructions
        .keys()
        .filter(|name| !now.instructions.contains_key(*name))
    {
        failed += 1;
        writeln!(out, "{name:24} is kept, and no piece any more")?;
    }
    Ok(failed)
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn change(before: u64, now: u64) -> f64 {
    (now as f64 / before.max(1) as f64 - 1.0) * 100.0
}

fn rustc() -> Result<String, Failure> {
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .arg("--version")
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .split_whitespace()
        .nth(1)
        .unwrap_or("unknown")
        .to_owned())
}

//! Apache Kafka's jars: resolved once by Maven, kept below the cargo target folder.
//!
//! # Invariants
//!
//! - **Complete or absent.** Maven copies into a scratch folder, which is renamed when it is
//!   complete: no process ever sees half a class path.
//! - **One at a time.** A file lock lets one process resolve while the others wait for its jars.
//! - **Keyed by the pom.** Another version or dependency is another folder.

use std::{
    env, fs,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::HarnessError;

const POM: &str = include_str!("../../apache/pom.xml");

const MAVEN_REMEDY: &str = "install Maven and a JDK (Debian and Ubuntu: apt-get install maven), or run the tests \
     without ONCEFLOW_TEST_BROKER=apache";

/// How much of a failed program's output is shown.
const OUTPUT_SHOWN_BYTES_MAX: usize = 4_000;

/// The class path of Apache Kafka, resolved now if this machine has not done it yet.
pub(super) fn resolve() -> Result<String, HarnessError> {
    let cache = target_folder().join("apache-kafka");
    let jars = cache.join(format!("jars-{:016x}", fingerprint(POM)));
    if !jars.is_dir() {
        fs::create_dir_all(&cache).map_err(HarnessError::file(&cache))?;
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path).map_err(HarnessError::file(&lock_path))?;
        lock.lock().map_err(HarnessError::file(&lock_path))?;
        // Asked again under the lock: another process may have resolved while this one waited.
        if !jars.is_dir() {
            copy_jars(&cache, &jars)?;
        }
    }
    Ok(format!("{}/*", jars.display()))
}

fn copy_jars(cache: &Path, jars: &Path) -> Result<(), HarnessError> {
    let scratch = tempfile::tempdir_in(cache).map_err(HarnessError::file(cache))?;
    let pom = scratch.path().join("pom.xml");
    fs::write(&pom, POM).map_err(HarnessError::file(&pom))?;
    let copied = scratch.path().join("jars");
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", copied.display()))
        .stdin(Stdio::null())
        .output()
        .map_err(|source| HarnessError::Program {
            program: "mvn".to_owned(),
            remedy: MAVEN_REMEDY,
            source,
        })?;
    if !output.status.success() {
        return Err(HarnessError::Maven {
            status: output.status,
            output: tail(&[output.stdout, output.stderr].concat()),
        });
    }
    fs::rename(&copied, jars).map_err(HarnessError::file(jars))
}

/// The end of a program's output, as text.
pub(super) fn tail(output: &[u8]) -> String {
    let from = output.len().saturating_sub(OUTPUT_SHOWN_BYTES_MAX);
    String::from_utf8_lossy(&output[from..]).into_owned()
}

/// The folder that cargo tagged above this executable; the workspace's own if there is none.
fn target_folder() -> PathBuf {
    env::current_exe()
        .ok()
        .and_then(|executable| {
            executable
                .ancestors()
                .find(|folder| folder.join("CACHEDIR.TAG").is_file())
                .map(Path::to_path_buf)
        })
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_output_is_cut_at_its_beginning() {
        let output = [vec![b'a'; OUTPUT_SHOWN_BYTES_MAX], b"the end".to_vec()].concat();
        let shown = tail(&output);
        assert_eq!(shown.len(), OUTPUT_SHOWN_BYTES_MAX);
        assert!(shown.ends_with("the end"));
    }

    #[test]
    fn another_pom_is_another_folder() {
        assert_ne!(fingerprint("4.3.1"), fingerprint("4.3.2"));
    }

    #[test]
    fn jars_are_kept_below_the_target_folder_of_cargo() {
        assert!(target_folder().join("CACHEDIR.TAG").is_file());
    }
}

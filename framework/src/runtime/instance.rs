//! A stable name for this process, when none is configured.
//!
//! Transactional ids are made from it: after a crash the same name fences, and so ends at once,
//! the transaction that was left open. A name is a UUID in a file of the state directory, held
//! by a lock while the process lives: the second process on the directory gets the second name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, ErrorKind};

/// How many processes of one application can share a state directory.
const INSTANCES_MAX: usize = 1_000;

/// What the files of names are called, before a number.
pub(crate) const INSTANCE_PREFIX: &str = "instance-";

/// A name and the lock that keeps it ours.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: Arc<str>,
    /// Unlocked by closing it, at the latest by the system when the process dies.
    _lock: Option<File>,
}

/// The configured name, or the first free one of the state directory.
///
/// # Errors
///
/// [`ErrorKind::Config`] when the directory cannot be written.
pub(crate) fn claim_instance(
    configured: Option<&str>,
    state_dir: &Path,
    application_id: &str,
) -> Result<Instance, Error> {
    if let Some(name) = configured {
        return Ok(Instance {
            name: Arc::from(name),
            _lock: None,
        });
    }
    let directory = state_dir.join(application_id);
    let cannot = |error: std::io::Error| {
        let message = format!(
            "cannot keep the instance's name in {}; set state.dir to a directory that can be \
             written, or instance.id to a name that is unique among running instances",
            directory.display()
        );
        Error::new(ErrorKind::Config, message).because(error)
    };
    fs::create_dir_all(&directory).map_err(cannot)?;
    for slot in 0..INSTANCES_MAX {
        let path = directory.join(format!("{INSTANCE_PREFIX}{slot}"));
        if let Some(instance) = claim(&path).map_err(cannot)? {
            return Ok(instance);
        }
    }
    let directory = directory.display();
    let message = format!("more than {INSTANCES_MAX} instances share {directory}");
    Err(Error::new(ErrorKind::Config, message))
}

/// A number that nobody else has: of one worker from its start to its end.
pub(crate) fn incarnation() -> i64 {
    let (number, _) = Uuid::new_v4().as_u64_pair();
    number.cast_signed()
}

/// Locks one name; none if another process has it.
fn claim(path: &Path) -> std::io::Result<Option<Instance>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let name = match Uuid::parse_str(text.trim()) {
        Ok(known) => known,
        // New, or torn by a crash of the machine: a new name costs one transaction time-out.
        Err(_) => {
            let new = Uuid::new_v4();
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(new.hyphenated().to_string().as_bytes())?;
            file.sync_all()?;
            new
        }
    };
    let name = Arc::from(name.hyphenated().to_string());
    Ok(Some(Instance {
        name,
        _lock: Some(file),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_over_restarts_and_unique_among_the_living() {
        let directory = tempfile::tempdir().unwrap();
        let claim = || claim_instance(None, directory.path(), "app").unwrap();
        let (first, second) = (claim(), claim());
        assert_ne!(first.name, second.name);
        let name = Arc::clone(&first.name);
        drop(first);
        assert_eq!(claim().name, name);
    }

    #[test]
    fn a_configured_name_is_taken_as_it_is() {
        let instance = claim_instance(Some("pod-3"), Path::new("/nonexistent"), "app").unwrap();
        assert_eq!(&*instance.name, "pod-3");
    }
}

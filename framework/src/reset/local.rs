//! The local state of an application: what is in its directory, but the names of its instances.
//!
//! # Invariants
//!
//! - Nothing is deleted while a process of the application holds its name there.
//! - The names stay: the next process takes one up again, and ends the transaction that the last
//!   one of that name may have left open.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::runtime::INSTANCE_PREFIX;

/// What would be deleted, in order; nothing if there is no such directory.
pub(super) fn find(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in entries(directory)? {
        if !is_name(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The name that a living process of the application holds, if one does.
pub(super) fn in_use(directory: &Path) -> Result<Option<PathBuf>, Error> {
    for path in entries(directory)?.into_iter().filter(|path| is_name(path)) {
        let file = File::open(&path).map_err(|error| cannot(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Some(path)),
            Err(TryLockError::Error(error)) => return Err(cannot(&path, error)),
        }
    }
    Ok(None)
}

/// Deletes files, and directories with all that is in them.
pub(super) fn delete(paths: &[PathBuf]) -> Result<(), Error> {
    for path in paths {
        let deleted = match path.is_dir() && !path.is_symlink() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        match deleted {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(cannot(path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| cannot(directory, error))?,
    };
    let paths = read.map(|entry| Ok(entry?.path()));
    let paths: io::Result<Vec<PathBuf>> = paths.collect();
    let mut paths = paths.map_err(|error| cannot(directory, error))?;
    paths.sort_unstable();
    Ok(paths)
}

fn is_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(INSTANCE_PREFIX)) && path.is_file()
}

fn cannot(path: &Path, error: io::Error) -> Error {
    let message = format!("cannot reset the local state in {}", path.display());
    Error::new(ErrorKind::Store, message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::claim_instance;

    #[test]
    fn all_is_deleted_but_the_names_of_instances() {
        let state = tempfile::tempdir().unwrap();
        drop(claim_instance(None, state.path(), "app").unwrap());
        let directory = state.path().join("app");
        fs::create_dir_all(directory.join("0_1/counts")).unwrap();
        fs::write(directory.join("0_1/counts/data"), "rows").unwrap();
        fs::write(directory.join("note"), "").unwrap();
        let found = find(&directory).unwrap();
        assert_eq!(found, [directory.join("0_1"), directory.join("note")]);
        delete(&found).unwrap();
        delete(&found).unwrap(); // again, as after an interruption
        assert_eq!(find(&directory).unwrap(), [""; 0].map(PathBuf::from));
        assert!(directory.join("instance-0").is_file());
    }

    #[test]
    fn a_process_that_lives_is_noticed_and_one_that_is_gone_is_not() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("app");
        assert_eq!(in_use(&directory).unwrap(), None);
        let instance = claim_instance(None, state.path(), "app").unwrap();
        let name = directory.join("instance-0");
        assert_eq!(in_use(&directory).unwrap(), Some(name));
        drop(instance);
        assert_eq!(in_use(&directory).unwrap(), None);
    }
}

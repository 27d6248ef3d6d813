//! Reads files of cases: plain JSON lines, or compressed by gzip or zstd.

use std::io::{BufRead, BufReader, Error, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file that cannot be read.
#[derive(Debug, Error)]
#[error("cannot read {}", path.display())]
pub struct FileError {
    path: PathBuf,
    source: Error,
}

/// The lines of a file, each a case. How it is compressed is told by how it begins.
///
/// # Errors
///
/// When the file cannot be opened or decompressed, or is not text.
pub fn read(path: &Path) -> Result<Vec<String>, FileError> {
    let text = open(path).map_err(|source| FileError {
        path: path.to_owned(),
        source,
    })?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(str::to_owned).collect())
}

fn open(path: &Path) -> Result<String, Error> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let begin = file.fill_buf()?;
    let mut text = String::new();
    if begin.starts_with(&[0x1f, 0x8b]) {
        flate2::bufread::MultiGzDecoder::new(file).read_to_string(&mut text)?;
    } else if begin.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        zstd::Decoder::with_buffer(file)?.read_to_string(&mut text)?;
    } else {
        file.read_to_string(&mut text)?;
    }
    Ok(text)
}

//! As much of an HTTP client as it takes to ask a service on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use onceflow_examples::Result;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks one service, a connection a question.
#[derive(Debug)]
pub(crate) struct Client(SocketAddr);

/// What it says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Client(address)
    }

    /// GETs a path.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.0, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let address = self.0;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        let (head, body) = response.split_once("\r\n\r\n").ok_or("half an answer")?;
        let status = head.split(' ').nth(1).ok_or("an answer without a status")?;
        Ok(Answer {
            status: status.parse()?,
            body: body.to_owned(),
        })
    }
}

//! Ports for brokers, chosen below the range from which the kernel takes the local ports of
//! outgoing connections: a broker that restarts must find its port still free.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::error::HarnessError;

const FROM: u16 = 15_000;
const TO: u16 = 32_000;

/// Tests of one process walk the range from a place that depends on the process, so that test
/// processes running side by side seldom try the same port.
static STEP: AtomicU16 = AtomicU16::new(0);

/// A port that nothing listened on a moment ago.
pub(super) fn free() -> Result<u16, HarnessError> {
    let span = TO - FROM;
    let start = u16::try_from(process::id().wrapping_mul(97) % u32::from(span))
        .expect("a remainder of a u16 fits a u16");
    for _ in 0..span {
        let step = STEP.fetch_add(1, Ordering::Relaxed) % span;
        let port = FROM + (start + step) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(HarnessError::NoPort { from: FROM, to: TO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_in_a_row_differ_and_lie_in_the_range() {
        let (one, two) = (free().unwrap(), free().unwrap());
        assert_ne!(one, two);
        assert!((FROM..TO).contains(&one) && (FROM..TO).contains(&two));
    }
}

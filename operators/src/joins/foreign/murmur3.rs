//! Murmur3, 128 bits: the hash by which a response finds out whether its row is still the same.

/// What Kafka begins with.
const SEED: u64 = 104_729;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
/// Bytes that are mixed in at a time, in two halves.
const BLOCK_BYTES: usize = 16;

/// The hash of a row's serialized value, as it is written: big-endian.
pub(super) fn hash128(data: &[u8]) -> [u8; 16] {
    let (mut h1, mut h2) = (SEED, SEED);
    let mut blocks = data.chunks_exact(BLOCK_BYTES);
    for block in &mut blocks {
        let (k1, k2) = halves(block);
        h1 = (h1 ^ mix1(k1)).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix2(k2)).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let (k1, k2) = halves(blocks.remainder());
    h1 ^= mix1(k1);
    h2 ^= mix2(k2);
    let length = data.len() as u64;
    h1 ^= length;
    h2 ^= length;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&h1.to_be_bytes());
    hash[8..].copy_from_slice(&h2.to_be_bytes());
    hash
}

/// Two words of a block, little-endian; a short one is filled up with zeros.
fn halves(block: &[u8]) -> (u64, u64) {
    let mut words = [0; BLOCK_BYTES];
    words[..block.len()].copy_from_slice(block);
    let whole = u128::from_le_bytes(words).to_be_bytes();
    let half = |at: usize| {
        whole[at..at + 8]
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    (half(8), half(0))
}

fn mix1(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix2(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finish(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ h >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(data: &[u8]) -> String {
        let bytes = hash128(data).map(|byte| format!("{byte:02x}"));
        bytes.concat()
    }

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(hex(b"a2"), "c4ce566ae818ef8edaa00e1dbc8d4662");
        assert_eq!(hex(b"x1"), "2d2b71d4c1071ff0b874051f94fb158a");
        assert_eq!(hex(b"z"), "4e08d26a65ac75d5fd13b14a215b2d32");
    }
}

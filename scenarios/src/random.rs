//! Random numbers for scenarios: fast, replayable, not for secrets.
//!
//! Owns: one 64-bit state, stepped by splitmix64. Invariant: R1 the same seed and parts give the same numbers on every
//! machine.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each actor: `parts` say which (node, name, index). Without a seed it differs each run.
    #[must_use]
    pub fn for_actor(seed: Option<u64>, parts: &[&str]) -> Self {
        // The standard library seeds its hash states from the system's randomness.
        let mut state = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
            // FNV-1a.
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        Self(state)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number from `low` to `high`, both included; `low` if the range is empty.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = u128::from(high.saturating_sub(low)) + 1;
        // The upper half of the product: no division, and a bias far below what a scenario could show.
        let offset = (u128::from(self.next_u64()) * width) >> 64;
        low.saturating_add(offset as u64)
    }

    /// A text of `length` hexadecimal digits.
    pub fn hex(&mut self, length: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(length);
        let mut bits = 0;
        for at in 0..length {
            if at % 16 == 0 {
                bits = self.next_u64();
            }
            text.push(char::from(DIGITS[(bits & 15) as usize]));
            bits >>= 4;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_same_seed_and_actor_replay_and_others_differ() {
        let numbers = |seed, parts: &[&str]| {
            let mut random = Random::for_actor(seed, parts);
            [random.next_u64(), random.next_u64()]
        };
        assert_eq!(numbers(Some(7), &["a@h", "sender"]), numbers(Some(7), &["a@h", "sender"]));
        assert_ne!(numbers(Some(7), &["a@h", "sender"]), numbers(Some(7), &["b@h", "sender"]));
        assert_ne!(numbers(Some(7), &["a@h", "sender"]), numbers(Some(7), &["a@", "hsender"]));
        assert_ne!(numbers(None, &["a"]), numbers(None, &["a"]));
    }

    #[test]
    fn ranges_are_reached_and_kept() {
        let mut random = Random::for_actor(Some(1), &[]);
        let drawn: Vec<u64> = (0..1000).map(|_| random.between(3, 7)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&7)));
        assert_eq!(random.between(5, 5), 5);
        assert_eq!(random.between(9, 5), 9);
    }

    #[test]
    fn hex_has_its_length_and_all_digits() {
        let mut random = Random::for_actor(Some(1), &[]);
        let text = random.hex(4001);
        assert_eq!(text.len(), 4001);
        assert!("0123456789abcdef".chars().all(|digit| text.contains(digit)));
        assert!(text.chars().all(|c| c.is_ascii_hexdigit()));
    }
}

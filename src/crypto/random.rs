//! Randomness from the operating system. Not injectable: a test that needs fixed bytes uses a golden vector instead.

use aws_lc_rs::rand;

/// Fills `buffer` from the operating system's generator.
///
/// # Panics
/// When the operating system has no randomness to give. Nothing can be sealed then, and a predictable salt or id would be
/// worse than a dead process.
#[expect(clippy::expect_used, reason = "see Panics")]
pub fn fill(buffer: &mut [u8]) {
    rand::fill(buffer).expect("the operating system gives random bytes");
}

/// `N` fresh random bytes.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut buffer = [0; N];
    fill(&mut buffer);
    buffer
}

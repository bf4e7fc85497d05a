//! Shamir's secret sharing of 32 bytes over GF(2⁸), byte by byte: any `needed` of the shares give the secret, fewer say nothing of it.
//! Specified in `docs/envelope.md`; the polynomial of the field is that of AES.

use zeroize::Zeroizing;

use super::keys::KeyBytes;
use super::random;

/// A product in GF(2⁸). Takes the same time whatever the factors, which are secret.
const fn times(left: u8, right: u8) -> u8 {
    let (mut product, mut left, mut bit) = (0_u8, left, 0);
    while bit < 8 {
        product ^= left & 0_u8.wrapping_sub((right >> bit) & 1);
        left = (left << 1) ^ (0x1b & 0_u8.wrapping_sub(left >> 7));
        bit += 1;
    }
    product
}

/// 1 / `value`, which is `value` to the power of 254; 0 for 0.
const fn inverse(value: u8) -> u8 {
    let (mut power, mut result, mut exponent) = (value, 1_u8, 254_u8);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, power);
        }
        power = times(power, power);
        exponent >>= 1;
    }
    result
}

/// Shares of `secret` with the numbers 1 to `places`; `needed` of them give it back. With `needed` = 1 each is the secret itself.
#[must_use]
pub fn split(secret: &KeyBytes, needed: u8, places: u8) -> Vec<KeyBytes> {
    // All 256 values of each coefficient, the highest included: one that is never 0 would tell something.
    let coefficients: Vec<KeyBytes> = (1..needed.max(1)).map(|_| fresh()).collect();
    (1..=places)
        .map(|number| {
            let mut share = Zeroizing::new([0; 32]);
            for coefficient in coefficients.iter().rev() {
                share.iter_mut().zip(coefficient.iter()).for_each(|(sum, term)| *sum = times(*sum ^ term, number));
            }
            share.iter_mut().zip(secret.iter()).for_each(|(sum, term)| *sum ^= term);
            share
        })
        .collect()
}

fn fresh() -> KeyBytes {
    let mut bytes = Zeroizing::new([0; 32]);
    random::fill(bytes.as_mut_slice());
    bytes
}

/// The secret behind these shares, each with its number. Too few of them, or shares of several secrets, give other bytes: what
/// was shared has to be recognised by a check of its own. `None` when a number is 0 or stands there twice.
#[must_use]
pub fn combine(shares: &[(u8, &KeyBytes)]) -> Option<KeyBytes> {
    let mut secret = Zeroizing::new([0; 32]);
    for (at, (number, share)) in shares.iter().enumerate() {
        let mut weight = 1;
        for (other, _) in shares.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, share)| share) {
            if other == number {
                return None;
            }
            weight = times(weight, times(*other, inverse(other ^ number)));
        }
        if *number == 0 {
            return None;
        }
        secret.iter_mut().zip(share.iter()).for_each(|(sum, byte)| *sum ^= times(*byte, weight));
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::keys::random_key;

    #[test]
    fn the_field_is_that_of_aes() {
        // FIPS 197 §4.2: {57} • {83} = {c1}, {57} • {13} = {fe}.
        assert_eq!((times(0x57, 0x83), times(0x57, 0x13)), (0xc1, 0xfe));
        assert!((1..=255).all(|value| times(value, inverse(value)) == 1));
        assert_eq!(inverse(0), 0);
    }

    #[test]
    fn a_golden_vector_stays_what_it_is() {
        // Secret 00 01 … 1f, one coefficient a0 a1 … bf: share x is secret + x · coefficient. `docs/envelope.md` has it.
        let secret = Zeroizing::new(std::array::from_fn(|at| at as u8));
        let share = |x: u8| Zeroizing::new(std::array::from_fn(|at| (at as u8) ^ times(0xa0 + at as u8, x)));
        let (one, three): (KeyBytes, KeyBytes) = (share(1), share(3));
        assert_eq!(one[..4], [0xa0, 0xa0, 0xa0, 0xa0]);
        assert_eq!(three[..4], [0xfb, 0xf9, 0xff, 0xfd]);
        assert_eq!(*combine(&[(1, &one), (3, &three)]).unwrap(), *secret);
    }

    proptest! {
        #[test]
        fn any_enough_shares_give_the_secret_and_one_fewer_do_not(
            needed in 1_u8..6, more in 0_u8..4, order in any::<prop::sample::Index>(),
        ) {
            let (secret, places) = (random_key(), needed + more);
            let shares = split(&secret, needed, places);
            prop_assert_eq!(shares.len(), usize::from(places));
            let mut all: Vec<(u8, &KeyBytes)> = (1..).zip(&shares).collect();
            all.rotate_left(order.index(usize::from(places)));
            let enough = &all[..usize::from(needed)];
            prop_assert_eq!(&*combine(enough).unwrap(), &*secret);
            if needed > 1 {
                prop_assert_ne!(&*combine(&enough[1..]).unwrap(), &*secret);
            }
        }
    }

    #[test]
    fn numbers_that_no_share_has_are_refused() {
        let (one, other) = (random_key(), random_key());
        assert!(combine(&[(0, &one), (1, &other)]).is_none());
        assert!(combine(&[(2, &one), (2, &other)]).is_none());
    }

    /// With one share too few every value must be as likely as any other: chi-square over the bytes of single shares of one secret.
    #[test]
    fn a_share_alone_says_nothing_of_the_secret() {
        const ROUNDS: usize = 4000;
        let secret = Zeroizing::new([0x42; 32]);
        let mut seen = [[0_u32; 256]; 2];
        for _ in 0..ROUNDS {
            let shares = split(&secret, 3, 2);
            for (counts, share) in seen.iter_mut().zip(&shares) {
                share.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
            }
        }
        let expected = (ROUNDS * 32) as f64 / 256.0;
        for counts in seen {
            let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            // 255 degrees of freedom: mean 255, deviation 22.6. Ten deviations away is no chance.
            assert!((30.0..480.0).contains(&chi), "{chi}");
        }
    }
}

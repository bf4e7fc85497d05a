//! Bech32 (BIP 173) without its limit of length: how age writes keys, also secret ones: what is held on the way is wiped.

use zeroize::Zeroizing;

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM: usize = 6;

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let next = ((sum & 0x1ff_ffff) << 5) ^ u32::from(value);
        GENERATOR.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1).fold(next, |sum, (_, word)| sum ^ word)
    })
}

fn expanded(prefix: &str) -> impl Iterator<Item = u8> + '_ {
    prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31))
}

/// Bits in groups of another width. `None`: bits are left over that are not zero, where there is no padding.
fn regroup(bytes: &[u8], from: u32, to: u32, pads: bool) -> Option<Zeroizing<Vec<u8>>> {
    let most = bytes.len() * from as usize / to as usize + 1;
    let (mut held, mut bits, mut out) = (0_u32, 0, Zeroizing::new(Vec::with_capacity(most)));
    for byte in bytes {
        held = (held << from | u32::from(*byte)) & 0xfff;
        bits += from;
        while bits >= to {
            bits -= to;
            out.push((held >> bits & ((1 << to) - 1)) as u8);
        }
    }
    let rest = held & ((1 << bits) - 1);
    if pads && bits > 0 {
        out.push((rest << (to - bits)) as u8);
    }
    (pads || (bits < from && rest == 0)).then_some(out)
}

/// In lower case.
pub(super) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let data = regroup(bytes, 8, 5, true).unwrap_or_default();
    let sum = polymod(expanded(prefix).chain(data.iter().copied()).chain([0; CHECKSUM])) ^ 1;
    let sum = (0..CHECKSUM).map(|at| (sum >> (5 * (CHECKSUM - 1 - at)) & 31) as u8);
    let letters = data.iter().copied().chain(sum).filter_map(|value| LETTERS.get(usize::from(value)));
    // As long as it becomes: what grew would leave a copy behind.
    let mut text = String::with_capacity(prefix.len() + 1 + data.len() + CHECKSUM);
    text.push_str(prefix);
    text.push('1');
    text.extend(letters.map(|letter| char::from(*letter)));
    text
}

/// What a text in lower case with this prefix stands for.
pub(super) fn decode(prefix: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let data = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let value = |byte: u8| LETTERS.iter().position(|letter| *letter == byte).map(|at| at as u8);
    let mut values = Zeroizing::new(Vec::with_capacity(data.len()));
    for byte in data.bytes() {
        values.push(value(byte)?);
    }
    let content = values.len().checked_sub(CHECKSUM).and_then(|end| values.get(..end))?;
    if polymod(expanded(prefix).chain(values.iter().copied())) != 1 {
        return None;
    }
    regroup(content, 5, 8, false)
}

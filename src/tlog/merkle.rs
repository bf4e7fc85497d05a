//! The Merkle tree of RFC 6962 §2.1 (unchanged in RFC 9162 §2.1): roots, inclusion and consistency.
//!
//! A proof is a list of hashes, each of a range of leaves. Which ranges is computed here; the caller fetches the perfect subtrees
//! that they consist of, and [`fold`] joins those. So the tree may lie anywhere, and nothing here waits.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// The hash of a leaf: a zero byte, then the entry.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(entry).finalize().into()
}

/// The hash of a node: a one, then both children.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root of a perfect subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// 0: a leaf.
    pub level: u32,
    /// Position among the nodes of its level.
    pub index: u64,
}

/// The perfect subtrees that a range consists of, from left to right. `range.start` must be a multiple of the largest power of
/// two that is not greater than its length, as it is in every range that this module gives.
#[must_use]
pub fn subtrees(range: Range<u64>) -> Vec<Node> {
    let (mut start, mut nodes) = (range.start, Vec::new());
    while start < range.end {
        let level = (range.end - start).ilog2();
        nodes.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    nodes
}

/// The hash of a range out of those of its [`subtrees`]. Of none: the root of the empty tree.
#[must_use]
pub fn fold(subtrees: &[Hash]) -> Hash {
    let mut right_to_left = subtrees.iter().rev();
    let Some(last) = right_to_left.next() else { return empty_root() };
    right_to_left.fold(*last, |right, left| node_hash(left, &right))
}

/// The root of a perfect tree over `hashes`, whose number is a power of two.
#[must_use]
pub fn perfect(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&perfect(left), &perfect(right))
        }
    }
}

/// Where a tree of `size` ≥ 2 leaves is parted: the largest power of two below.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The ranges of an inclusion proof, the nearest to the leaf first (RFC 9162 §2.1.3.1). `None`: there is no such leaf.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut start, mut end, mut ranges) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of a consistency proof between two sizes (RFC 9162 §2.1.4.1). `None`: the older is empty or larger.
#[must_use]
pub fn consistency(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old == 0 || old > new {
        return None;
    }
    if old == new {
        return Some(Vec::new());
    }
    // Whether what is left of the old tree is a whole subtree of the new one that the verifier knows: its own root.
    let (mut start, mut end, mut known, mut ranges) = (0, new, true, Vec::new());
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            (start, known) = (middle, false);
        }
    }
    if !known {
        ranges.push(start..end);
    }
    ranges.reverse();
    Some(ranges)
}

/// Whether `proof` shows that the leaf of this hash stands at `index` of the tree (RFC 9162 §2.1.3.2).
#[must_use]
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// A tree of which the size and the root are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    /// Root.
    pub root: Hash,
}

/// Whether `proof` shows that `new` begins with all of `old` (RFC 9162 §2.1.4.2). Everything begins with the empty tree.
#[must_use]
pub fn is_consistent(old: &Head, new: &Head, proof: &[Hash]) -> bool {
    if old.size == 0 {
        return proof.is_empty() && old.root == empty_root();
    }
    if old.size >= new.size {
        return old == new && proof.is_empty();
    }
    let own = [old.root];
    let mut path = if old.size.is_power_of_two() { own.iter().chain(proof) } else { [].iter().chain(proof) };
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let Some(&first) = path.next() else { return false };
    let (mut in_old, mut in_new) = (first, first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (in_old, in_new) = (node_hash(sibling, &in_old), node_hash(sibling, &in_new));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            in_new = node_hash(&in_new, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && in_old == old.root && in_new == new.root
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// RFC 6962 §2.1, word for word.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node_hash(&root(left), &root(right))
            }
        }
    }

    fn hashes(leaves: &[Hash], ranges: Vec<Range<u64>>) -> Vec<Hash> {
        let part = |range: Range<u64>| root(&leaves[range.start as usize..range.end as usize]);
        let joined = |range: Range<u64>| {
            let node = |node: Node| part(node.index << node.level..(node.index + 1) << node.level);
            fold(&subtrees(range).into_iter().map(node).collect::<Vec<_>>())
        };
        ranges
            .into_iter()
            .map(|range| {
                assert_eq!(joined(range.clone()), part(range.clone()));
                part(range)
            })
            .collect()
    }

    /// Test vectors of the Certificate Transparency project for its eight sample entries.
    #[test]
    fn the_roots_of_the_well_known_entries_are_right() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        for (size, expected) in [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            let whole = subtrees(0..size).into_iter();
            let whole = whole.map(|node| {
                root(&leaves[(node.index << node.level) as usize..((node.index + 1) << node.level) as usize])
            });
            assert_eq!(HEXLOWER.encode(&fold(&whole.collect::<Vec<_>>())), expected, "{size}");
        }
    }

    #[test]
    fn every_proof_of_small_trees_is_accepted_for_what_it_proves_alone() {
        let all = leaves(20);
        for size in 1..=20_u64 {
            let head = root(&all[..size as usize]);
            for index in 0..size {
                let proof = hashes(&all, inclusion(index, size).unwrap());
                for other in 0..=size {
                    let right = other == index;
                    assert_eq!(
                        is_included(&all[index as usize], other, size, &proof, &head),
                        right,
                        "{index} {other} {size}"
                    );
                }
                assert!(!is_included(&all[(index as usize + 1) % 20], index, size, &proof, &head));
            }
            assert_eq!(inclusion(size, size), None);
            for old in 0..=size {
                let before = Head { size: old, root: root(&all[..old as usize]) };
                let after = Head { size, root: head };
                let proof = hashes(&all, consistency(old, size).unwrap_or_default());
                assert!(is_consistent(&before, &after, &proof), "{old} {size}");
                let forged = Head { size: old, root: leaf_hash(b"forged") };
                assert!(!is_consistent(&forged, &after, &proof), "{old} {size}");
            }
            assert_eq!((consistency(0, size), consistency(size + 1, size)), (None, None));
        }
    }

    proptest! {
        #[test]
        fn a_proof_that_was_changed_anywhere_proves_nothing(
            size in 2_u64..600, index: prop::sample::Index, old: prop::sample::Index, at: prop::sample::Index, bit in 0..256_usize,
        ) {
            let all = leaves(size);
            let head = Head { size, root: root(&all) };
            let index = index.index(size as usize) as u64;
            let mut proof = hashes(&all, inclusion(index, size).unwrap());
            prop_assert!(is_included(&all[index as usize], index, size, &proof, &head.root));
            let place = at.index(proof.len());
            proof[place][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_included(&all[index as usize], index, size, &proof, &head.root));
            proof.remove(place);
            prop_assert!(!is_included(&all[index as usize], index, size, &proof, &head.root));

            let old = 1 + old.index(size as usize - 1) as u64;
            let before = Head { size: old, root: root(&all[..old as usize]) };
            let mut proof = hashes(&all, consistency(old, size).unwrap());
            prop_assert!(is_consistent(&before, &head, &proof));
            let place = at.index(proof.len());
            proof[place][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_consistent(&before, &head, &proof));
            proof.push(head.root);
            prop_assert!(!is_consistent(&before, &head, &proof));
        }
    }
}

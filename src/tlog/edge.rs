//! The right edge of a tree: the last, unfinished tile of each level. It is all that a tree needs to grow, and it gives the root.

use super::merkle::{Hash, Head, fold, perfect, subtrees};
use super::tile::{HEIGHT, WIDTH, node_in};

/// Levels of tiles in a tree that 64 bits can count.
pub const LEVELS: usize = 8;

/// A tile as far as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// 0: hashes of leaves.
    pub level: u32,
    /// Position among the tiles of its level.
    pub index: u64,
    /// From its first hash on.
    pub hashes: Vec<Hash>,
}

/// A tree that grows.
#[derive(Debug, Clone)]
pub struct Edge {
    size: u64,
    open: [Vec<Hash>; LEVELS],
    full: Vec<Piece>,
    touched: usize,
}

/// The places of the unfinished tiles of a tree of `size` leaves, as level and index.
#[must_use]
pub fn places(size: u64) -> Vec<(u32, u64)> {
    let hashes = |level: u32| size.checked_shr(level * HEIGHT).unwrap_or(0);
    let levels = (0..LEVELS as u32).filter(|level| !hashes(*level).is_multiple_of(WIDTH));
    levels.map(|level| (level, hashes(level) / WIDTH)).collect()
}

impl Edge {
    /// The edge of a tree of `size` leaves. `None`: `pieces` are not exactly the tiles of its [`places`].
    #[must_use]
    pub fn new(size: u64, pieces: Vec<Piece>) -> Option<Self> {
        let mut edge = Self { size, open: Default::default(), full: Vec::new(), touched: 0 };
        let mut wanted = places(size);
        for piece in pieces {
            let at = wanted.iter().position(|place| *place == (piece.level, piece.index))?;
            wanted.swap_remove(at);
            let width = (size >> (piece.level * HEIGHT)) % WIDTH;
            if piece.hashes.len() as u64 != width {
                return None;
            }
            *edge.open.get_mut(piece.level as usize)? = piece.hashes;
        }
        wanted.is_empty().then_some(edge)
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let (mut hash, mut level) = (leaf, 0_usize);
        while let Some(open) = self.open.get_mut(level) {
            open.push(hash);
            self.touched = self.touched.max(level + 1);
            if (open.len() as u64) < WIDTH {
                return;
            }
            let hashes = std::mem::take(open);
            hash = perfect(&hashes);
            let index = (self.size >> (level as u32 * HEIGHT)) / WIDTH - 1;
            self.full.push(Piece { level: level as u32, index, hashes });
            level += 1;
        }
    }

    /// Takes the tiles that became full since it was last asked: for those who need not keep them.
    pub fn take_full(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.full)
    }

    /// Length and root.
    #[must_use]
    pub fn head(&self) -> Head {
        let nodes: Vec<Hash> = self
            .open
            .iter()
            .rev()
            .flat_map(|open| subtrees(0..open.len() as u64).into_iter().filter_map(|node| node_in(open, node)))
            .collect();
        Head { size: self.size, root: fold(&nodes) }
    }

    /// Every tile that has changed since [`Self::new`], whole.
    #[must_use]
    pub fn changed(&self) -> Vec<Piece> {
        let mut pieces = self.full.clone();
        for (level, open) in self.open.iter().enumerate().take(self.touched).filter(|(_, open)| !open.is_empty()) {
            let index = (self.size >> (level as u32 * HEIGHT)) / WIDTH;
            pieces.push(Piece { level: level as u32, index, hashes: open.clone() });
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::{leaf_hash, node_hash};
    use std::collections::HashMap;

    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [one] => *one,
            _ => {
                let left = 1_usize << (leaves.len() - 1).ilog2();
                node_hash(&root(&leaves[..left]), &root(&leaves[left..]))
            }
        }
    }

    #[test]
    fn a_tree_that_grows_in_steps_has_the_root_of_all_its_leaves() {
        let leaves: Vec<Hash> = (0..67_000_u64).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let (mut stored, mut size) = (HashMap::new(), 0_usize);
        for step in [1, 1, 253, 1, 1, 300, 511, 700, 60_000, 5_000, 200] {
            let pieces = places(size as u64).into_iter();
            let pieces =
                pieces.map(|(level, index)| Piece { level, index, hashes: Clone::clone(&stored[&(level, index)]) });
            let mut edge = Edge::new(size as u64, pieces.collect()).unwrap();
            leaves[size..size + step].iter().for_each(|leaf| edge.push(*leaf));
            size += step;
            assert_eq!(edge.head(), Head { size: size as u64, root: root(&leaves[..size]) });
            for piece in edge.changed() {
                stored.insert((piece.level, piece.index), piece.hashes);
            }
        }
        let mut places: Vec<_> = stored.keys().copied().collect();
        places.sort_unstable();
        assert_eq!(places.len(), 262 + 2 + 1);
    }

    #[test]
    fn tiles_of_another_size_are_no_edge() {
        let hashes = vec![leaf_hash(b"a"); 3];
        let piece = |index| Piece { level: 0, index, hashes: hashes.clone() };
        assert!(Edge::new(3, vec![piece(0)]).is_some() && Edge::new(259, vec![piece(1)]).is_none());
        assert!(Edge::new(4, vec![piece(0)]).is_none() && Edge::new(3, Vec::new()).is_none());
        assert!(Edge::new(0, Vec::new()).is_some());
    }
}

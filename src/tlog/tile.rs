//! Tiles (C2SP tlog-tiles): 256 hashes of one level in one piece, so that a log is served as files that never change.

use std::fmt::Write;

use super::merkle::{Hash, Node, perfect};

/// Hashes in a full tile; entries in a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree that one level of tiles covers.
pub const HEIGHT: u32 = 8;
/// The highest level of tiles of a tree that 64 bits can count.
const MAX_LEVEL: u32 = 7;

/// One tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// 0: hashes of leaves.
    pub level: u32,
    /// Position among the tiles of its level.
    pub index: u64,
    /// Hashes in it, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The full or partial tile of this place in a tree of `size` leaves. `None`: the tree does not reach it.
    #[must_use]
    pub fn of(level: u32, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(level * HEIGHT).unwrap_or(0);
        let width = hashes.saturating_sub(index.checked_mul(WIDTH)?).min(WIDTH);
        (level <= MAX_LEVEL && width > 0).then_some(Self { level, index, width })
    }

    /// The tile, of any width, that holds what a node is computed from.
    #[must_use]
    pub const fn place_of(node: Node) -> (u32, u64) {
        let level = node.level / HEIGHT;
        let within = HEIGHT - node.level % HEIGHT;
        (level, node.index >> within)
    }

    /// Its path below `tile/`, such as `0/x001/067.p/8`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.level, numbered(self.index, self.width))
    }

    /// Reads such a path. `None`: it has not the one right form.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let (index, width) = parse_numbered(rest)?;
        let tile = Self { level: level.parse().ok().filter(|level| *level <= MAX_LEVEL)?, index, width };
        (tile.path() == path).then_some(tile)
    }
}

/// The hash of a node out of the hashes of its tile. `None`: they do not reach so far.
#[must_use]
pub fn node_in(hashes: &[Hash], node: Node) -> Option<Hash> {
    let rest = node.level % HEIGHT;
    let first = (node.index << rest) % WIDTH;
    let part = hashes.get(usize::try_from(first).ok()?..usize::try_from(first + (1 << rest)).ok()?)?;
    Some(perfect(part))
}

/// The path of a bundle of entries below `tile/entries/`.
#[must_use]
pub fn bundle_path(index: u64, width: u64) -> String {
    numbered(index, width)
}

/// Reads the path of a bundle: index and width.
#[must_use]
pub fn parse_bundle(path: &str) -> Option<(u64, u64)> {
    parse_numbered(path).filter(|(index, width)| bundle_path(*index, *width) == path)
}

/// Three digits to a folder, all but the last marked with an `x`; a partial one has `.p/` and its width behind it.
fn numbered(index: u64, width: u64) -> String {
    let digits = index.to_string();
    let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
    let mut path = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.char_indices() {
        if at % 3 == 0 {
            path.push_str(if at == 0 { "" } else { "/" });
            path.push_str(if at + 3 < digits.len() { "x" } else { "" });
        }
        path.push(digit);
    }
    if width < WIDTH {
        // Writing into a text does not fail.
        let _ = write!(path, ".p/{width}");
    }
    path
}

fn parse_numbered(path: &str) -> Option<(u64, u64)> {
    let (number, width) = match path.split_once(".p/") {
        Some((number, width)) => (number, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?),
        None => (path, WIDTH),
    };
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::{leaf_hash, subtrees};

    #[test]
    fn paths_are_those_of_the_specification() {
        for (tile, path) in [
            (Tile { level: 0, index: 0, width: 256 }, "0/000"),
            (Tile { level: 0, index: 1_234_067, width: 256 }, "0/x001/x234/067"),
            (Tile { level: 3, index: 67, width: 8 }, "3/067.p/8"),
            (Tile { level: 1, index: 999, width: 255 }, "1/999.p/255"),
            (Tile { level: 1, index: 1000, width: 256 }, "1/x001/000"),
        ] {
            assert_eq!((tile.path().as_str(), Tile::parse(path)), (path, Some(tile)));
        }
        for wrong in [
            "",
            "0",
            "0/",
            "0/0",
            "0/x000/001",
            "8/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/001/000",
            "0/000.p/08",
            "00/000",
            "0/../000",
        ] {
            assert_eq!(Tile::parse(wrong), None, "{wrong}");
        }
        assert_eq!((parse_bundle("x001/000.p/3"), parse_bundle("001/000")), (Some((1000, 3)), None));
    }

    #[test]
    fn a_tree_has_the_tiles_that_its_size_allows() {
        let tile = |level, index, size| Tile::of(level, index, size).map(|tile| tile.width);
        assert_eq!((tile(0, 0, 0), tile(0, 0, 1), tile(0, 0, 256), tile(0, 1, 256)), (None, Some(1), Some(256), None));
        assert_eq!(
            (tile(0, 1, 300), tile(1, 0, 255), tile(1, 0, 70_000), tile(2, 0, 70_000)),
            (Some(44), None, Some(256), Some(1))
        );
    }

    #[test]
    fn a_node_is_found_in_its_tile() {
        let leaves: Vec<Hash> = (0..600_u64).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        for node in subtrees(0..600).into_iter().chain([Node { level: 3, index: 33 }, Node { level: 0, index: 599 }]) {
            let (level, index) = Tile::place_of(node);
            let hashes: Vec<Hash> = match level {
                0 => leaves[index as usize * 256..].iter().take(256).copied().collect(),
                _ => leaves.chunks_exact(256).map(perfect).collect(),
            };
            let from = (node.index << node.level) as usize;
            assert_eq!(node_in(&hashes, node), Some(perfect(&leaves[from..from + (1 << node.level)])), "{node:?}");
        }
        assert_eq!(node_in(&leaves[..10], Node { level: 4, index: 0 }), None);
    }
}

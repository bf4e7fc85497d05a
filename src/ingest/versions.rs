//! What of an item is sealed for how long, where fields of it live for a shorter time than the rest (ADR 20).

use std::borrow::Cow;

use super::callback::Kept;
use super::file;
use super::filing::Filed;
use crate::meta::minimise::minimise;

/// The content of an item.
pub(super) struct Versions<'i> {
    /// What lives as long as its rule says.
    pub(super) rest: Cow<'i, [u8]>,
    /// Fuller versions and the days that they live, the fullest first. None where the item has none of these fields.
    pub(super) fuller: Vec<(u16, Cow<'i, [u8]>)>,
}

impl<'i> Versions<'i> {
    /// The versions of an item.
    pub(super) fn of(filed: &Filed<'i>, kept: &Kept) -> Self {
        let whole = file::content(filed.item, kept);
        let mut fuller: Vec<(u16, Cow<'i, [u8]>)> = Vec::new();
        for (life, without) in &filed.lives {
            let version = if without.keeps_all() {
                Some(whole.clone())
            } else {
                // Nothing is hashed: what is over is left out.
                minimise(&whole, without, &|_, _| String::new()).map(Cow::Owned)
            };
            // What cannot be taken apart has no fields.
            let Some(version) = version else { return Self { rest: whole, fuller: Vec::new() } };
            // A version that says no more than the one after it is not worth its bytes.
            if fuller.last().is_some_and(|(_, before)| *before == version) {
                fuller.pop();
            }
            match life {
                Some(days) => fuller.push((*days, version)),
                None => return Self { rest: version, fuller },
            }
        }
        Self { rest: whole, fuller }
    }
}

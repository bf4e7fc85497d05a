//! Whose turn it is, for an endpoint that is promised an order: the events of one person stand in a line, one is under way at a
//! time, and one that failed holds the line up.

use std::collections::{BTreeSet, HashMap};

use crate::domain::endpoint::Order;
use crate::ids::{ContactId, EventId};

/// Events of one person that are held in memory, so that one who writes a lot does not fill it.
const LONGEST: usize = 16;

#[derive(Debug, Default)]
struct Line {
    under_way: bool,
    waiting: BTreeSet<EventId>,
    /// Events that failed and hold the others up.
    holding: u64,
    /// More of them are in the database.
    cut: bool,
}

impl Line {
    fn is_idle(&self) -> bool {
        !self.under_way && self.waiting.is_empty() && self.holding == 0 && !self.cut
    }
}

/// What became of an event that came to its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It may go; the one that could have gone before may not any more.
    First(Option<EventId>),
    /// It waits for others.
    Behind,
    /// It is not held in memory: it is read again when its turn comes.
    Outside,
}

/// The lines of one endpoint. Without a promised order there are none, and everything is first.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// An event that failed fewer times than this holds its line up; `None`: no order.
    holds_below: Option<i16>,
    lines: HashMap<ContactId, Line>,
}

/// Below how many failed attempts an event holds its line up.
pub(in crate::deliver) fn holds_below(order: Order) -> Option<i16> {
    match order {
        Order::None => None,
        Order::Block => Some(i16::MAX),
        Order::Skip { after } => Some(i16::try_from(after.get()).unwrap_or(i16::MAX)),
    }
}

impl Lines {
    /// Lines of which these are held up by so many events each.
    pub(super) fn new(order: Order, held: impl IntoIterator<Item = (ContactId, u64)>) -> Self {
        let holds_below = holds_below(order);
        let line = |(contact, holding)| (contact, Line { holding, ..Line::default() });
        let lines = if holds_below.is_some() { held.into_iter().map(line).collect() } else { HashMap::new() };
        Self { holds_below, lines }
    }

    /// Whether an event that waits for another attempt after so many failures holds up the later ones.
    pub(super) fn holds(&self, failed: i16) -> bool {
        self.holds_below.is_some_and(|below| failed < below)
    }

    fn line(&mut self, contact: Option<ContactId>) -> Option<&mut Line> {
        self.holds_below?;
        contact.map(|contact| self.lines.entry(contact).or_default())
    }

    /// A first attempt comes to its line.
    pub(super) fn join(&mut self, contact: Option<ContactId>, event: EventId) -> Place {
        let Some(line) = self.line(contact) else { return Place::First(None) };
        if line.holding > 0 {
            return Place::Outside;
        }
        if line.waiting.len() >= LONGEST {
            line.cut = true;
            return Place::Outside;
        }
        let before = line.waiting.first().copied();
        line.waiting.insert(event);
        match before {
            _ if line.under_way => Place::Behind,
            Some(before) if before < event => Place::Behind,
            before => Place::First(before),
        }
    }

    /// Whether an event of this person is under way.
    pub(super) fn is_under_way(&self, contact: Option<ContactId>) -> bool {
        contact.and_then(|contact| self.lines.get(&contact)).is_some_and(|line| line.under_way)
    }

    /// An event sets out. Returns another one that could have gone and may not any more.
    pub(super) fn leave(&mut self, contact: Option<ContactId>, event: EventId) -> Option<EventId> {
        let line = self.line(contact)?;
        line.under_way = true;
        line.waiting.remove(&event);
        line.waiting.first().copied()
    }

    /// An event is back. Returns the next that may go, and whether more of this person may be read now.
    pub(super) fn end(&mut self, contact: Option<ContactId>) -> (Option<EventId>, bool) {
        let Some(line) = self.line(contact) else { return (None, false) };
        line.under_way = false;
        let next = line.waiting.first().copied();
        let room = line.cut && line.waiting.len() <= LONGEST / 2;
        line.cut &= !room;
        if line.is_idle()
            && let Some(contact) = contact
        {
            self.lines.remove(&contact);
        }
        (next, room)
    }

    /// An event failed and holds its line up. Returns those that are not held in memory any longer.
    pub(super) fn hold_up(&mut self, contact: Option<ContactId>) -> BTreeSet<EventId> {
        let Some(line) = self.line(contact) else { return BTreeSet::new() };
        line.holding += 1;
        line.cut = false;
        std::mem::take(&mut line.waiting)
    }

    /// An event holds its line up no longer. Returns whether the line may be read again.
    pub(super) fn let_go(&mut self, contact: Option<ContactId>) -> bool {
        self.line(contact).is_some_and(|line| {
            line.holding = line.holding.saturating_sub(1);
            line.holding == 0
        })
    }

    /// Persons whose first attempts are not to be read now.
    pub(super) fn held_back(&self) -> impl Iterator<Item = ContactId> {
        self.lines.iter().filter(|(_, line)| line.holding > 0 || line.cut).map(|(contact, _)| *contact)
    }

    /// Forgets what waits; it is read again.
    pub(super) fn forget_waiting(&mut self) {
        for line in self.lines.values_mut() {
            line.waiting.clear();
            line.cut = false;
        }
        self.lines.retain(|_, line| !line.is_idle());
    }
}

//! What the schedule promises, one by one; `model` has all of it at once.

mod model;

use std::collections::HashSet;
use std::num::NonZeroU16;

use time::Duration;
use time::macros::datetime;

use super::*;

const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

fn event(number: usize) -> EventId {
    EventId::from_uuid(Uuid::from_u128(number as u128))
}

fn contact(number: usize) -> ContactId {
    ContactId::from_uuid(Uuid::from_u128(number as u128))
}

fn item(number: usize, contact: Option<ContactId>, postponed_to: Option<OffsetDateTime>, attempts: i16) -> Item<()> {
    Item { event: event(number), contact, attempts, postponed_to, bytes: 100, content: () }
}

fn all_of(items: Vec<Item<()>>) -> Read<()> {
    Read { items, more_fresh: false, more_retries: false }
}

/// A schedule that was told to look and is asked what it wants.
fn looking(order: Order, most: usize, rate: Option<u32>) -> Schedule<()> {
    let mut schedule = Schedule::new(None);
    schedule.set_pace(most, rate.and_then(NonZeroU32::new));
    schedule.set_order(order, []);
    schedule.look_again(true);
    schedule
}

fn begun(schedule: &mut Schedule<()>) -> Vec<EventId> {
    std::iter::from_fn(|| schedule.next(NOON)).map(|item| item.event).collect()
}

#[test]
fn retries_have_half_of_the_slots_and_with_one_slot_every_other_turn() {
    let mixed = || (1..=20).map(|n| item(n, None, (n > 10).then_some(NOON), i16::from(n > 10))).collect();
    let mut schedule = looking(Order::None, 8, None);
    schedule.wants(NOON).unwrap();
    schedule.offer(all_of(mixed()), NOON);
    let first = begun(&mut schedule);
    assert_eq!(first.iter().filter(|one| **one > event(10)).count(), 4);
    assert_eq!(first.len(), 8);
    let mut schedule = looking(Order::None, 1, None);
    schedule.wants(NOON).unwrap();
    schedule.offer(all_of(mixed()), NOON);
    let mut turns = Vec::new();
    while let Some(item) = schedule.next(NOON) {
        turns.push(item.postponed_to.is_some());
        schedule.finish(item.event, Ended::Accepted, NOON);
    }
    assert_eq!(turns.len(), 20);
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn one_person_who_writes_a_lot_does_not_fill_the_memory() {
    let mut schedule = looking(Order::Block, 8, None);
    schedule.wants(NOON).unwrap();
    let read = (1..=192).map(|n| item(n, Some(contact(1)), None, 0)).collect();
    schedule.offer(Read { items: read, more_fresh: true, more_retries: false }, NOON);
    assert_eq!(begun(&mut schedule), [event(1)]);
    assert!(schedule.in_hand().len() <= 17);
    assert_eq!(schedule.held_back(), [contact(1).uuid()]);
    assert!(schedule.wants(NOON).is_some_and(|want| want.fresh > 100), "others are read");
    schedule.offer(all_of((200..=203).map(|n| item(n, Some(contact(n)), None, 0)).collect()), NOON);
    assert_eq!(begun(&mut schedule).len(), 4);
    for n in 1..=8 {
        schedule.finish(event(n), Ended::Accepted, NOON);
        begun(&mut schedule);
    }
    assert!(schedule.held_back().is_empty(), "and then the rest of the first");
    assert!(schedule.wants(NOON).is_some());
}

#[test]
fn a_retry_wakes_the_lane_at_its_time_and_nothing_is_read_before() {
    let mut schedule = looking(Order::None, 8, None);
    schedule.wants(NOON).unwrap();
    schedule.offer(all_of(vec![item(1, None, None, 0)]), NOON);
    begun(&mut schedule);
    let at = NOON + Duration::seconds(5);
    schedule.finish(event(1), Ended::Postponed, NOON);
    assert_eq!(schedule.retries.asks(), Some(NOON));
    schedule.recorded([event(1)], [at]);
    schedule.retries.answered(&Ok::<_, ()>(None));
    assert_eq!(schedule.wake(NOON), Some(at));
    assert_eq!(schedule.wants(NOON), None);
    let want = schedule.wants(at).unwrap();
    assert_eq!((want.fresh, want.retries), (0, RETRIES_AHEAD));
}

/// The proxy was away: the endpoint was not asked.
#[test]
fn an_event_that_was_put_off_uncounted_holds_up_its_person_until_it_is_accepted() {
    let mut schedule = looking(Order::Skip { after: NonZeroU16::new(1).unwrap() }, 8, None);
    schedule.wants(NOON).unwrap();
    schedule.offer(all_of((1..=2).map(|n| item(n, Some(contact(1)), None, 0)).collect()), NOON);
    assert_eq!(begun(&mut schedule), [event(1)]);
    schedule.finish(event(1), Ended::PutOff, NOON);
    schedule.recorded([event(1)], [NOON]);
    assert_eq!((begun(&mut schedule), schedule.held_back()), (vec![], vec![contact(1).uuid()]));
    schedule.offer(all_of(vec![item(1, Some(contact(1)), Some(NOON), 0)]), NOON);
    assert_eq!(begun(&mut schedule), [event(1)]);
    schedule.finish(event(1), Ended::Accepted, NOON);
    assert!(schedule.held_back().is_empty());
}

#[test]
fn what_is_held_is_bounded_by_bytes_and_by_what_the_rate_allows_soon() {
    let mut schedule = looking(Order::None, 8, Some(3));
    assert_eq!(schedule.wants(NOON), Some(Want { fresh: 6, retries: 6, bytes: BYTES_AHEAD }));
    let mut schedule = looking(Order::None, 1, None);
    schedule.wants(NOON).unwrap();
    let large = (1..=2).map(|n| Item { bytes: BYTES_AHEAD / 2, ..item(n, None, None, 0) }).collect();
    schedule.offer(Read { items: large, more_fresh: true, more_retries: false }, NOON);
    begun(&mut schedule);
    assert_eq!(schedule.wants(NOON), None);
    schedule.finish(event(1), Ended::Accepted, NOON);
    assert_eq!(schedule.wants(NOON).map(|want| want.bytes), Some(BYTES_AHEAD / 2));
}

#[test]
fn an_open_breaker_forgets_what_is_open_in_memory_and_reads_one_of_each_to_probe_with() {
    let mut schedule = looking(Order::None, 5, None);
    schedule.wants(NOON).unwrap();
    schedule.offer(all_of((1..=20).map(|n| item(n, None, None, 0)).collect()), NOON);
    for event in begun(&mut schedule) {
        schedule.finish(event, Ended::Postponed, NOON);
    }
    assert!(schedule.breaker.is_open());
    assert_eq!(schedule.in_hand().len(), 5, "what is not recorded yet");
    assert_eq!(schedule.wants(NOON), None);
    let probe = schedule.wake(NOON).unwrap();
    assert_eq!(probe, NOON + Duration::seconds(5));
    let want = schedule.wants(probe).unwrap();
    assert_eq!((want.fresh, want.retries), (1, 1));
    schedule.offer(all_of(vec![item(6, None, None, 0), item(1, None, Some(probe), 1)]), probe);
    assert!(schedule.next(probe).is_some());
    assert!(schedule.next(probe).is_none(), "one probe");
}

#[test]
fn no_event_is_begun_twice_though_it_lies_in_both_tables() {
    let mut schedule = looking(Order::None, 8, None);
    schedule.wants(NOON).unwrap();
    schedule.offer(all_of(vec![item(1, None, None, 0), item(1, None, Some(NOON), 1)]), NOON);
    assert_eq!(begun(&mut schedule).into_iter().collect::<HashSet<_>>().len(), 1);
    assert_eq!(schedule.in_hand().len(), 1);
}

#[test]
fn what_is_being_read_while_others_are_forgotten_does_not_overtake_them() {
    let mut schedule = looking(Order::Block, 8, None);
    schedule.wants(NOON).unwrap();
    let same = [1, 2, 3].map(|n| item(n, Some(contact(1)), None, 0));
    let others = (11..=15).map(|n| item(n, Some(contact(n)), None, 0));
    schedule.offer(all_of(same.into_iter().chain(others).collect()), NOON);
    begun(&mut schedule);
    // A look that leaves out what is in hand: 1, 2 and 3 of them.
    schedule.look_again(false);
    schedule.wants(NOON).unwrap();
    assert!(schedule.in_hand().contains(&event(2).uuid()));
    // Meanwhile the breaker opens, so that 2 and 3 are forgotten, and its wait is over before the look is.
    schedule.finish(event(1), Ended::Accepted, NOON);
    for n in 11..=15 {
        schedule.finish(event(n), Ended::Postponed, NOON);
    }
    assert!(schedule.breaker.is_open());
    let later = NOON + Duration::seconds(6);
    schedule.offer(all_of(vec![item(4, Some(contact(1)), None, 0)]), later);
    let next = schedule.next(later).map(|item| item.event);
    assert_ne!(next, Some(event(4)), "2 and 3 come before");
}

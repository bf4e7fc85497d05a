//! Which events a reader wants, and how much of them: the parameters that the list and the stream share.

use super::query::Params;
use crate::access::door::EventQuery;
use crate::domain::endpoint::{Direction, Fields, Filter};
use crate::domain::event::EventType;
use crate::domain::predicate::Predicate;

/// What a reader wants.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Where it stands, and what can be told without the content.
    pub(super) query: EventQuery,
    /// What the event JSON must look like.
    pub(super) predicate: Option<Predicate>,
    /// How much is shown of each; less when the key may see less.
    pub(super) fields: Fields,
}

impl Wanted {
    /// Takes the parameters, for pages of at most `limit` events. Faults are noted in `params`.
    pub(super) fn take(params: &mut Params, limit: usize) -> Self {
        let query = EventQuery {
            after: params.cursor().unwrap_or_default(),
            types: types(params),
            channel: params.id("channel_id"),
            contact: params.id("contact_id"),
            limit,
        };
        Self { query, predicate: predicate(params), fields: fields(params) }
    }
}

/// Exact types behind names, prefixes and the direction. `None`: all.
fn types(params: &mut Params) -> Option<Vec<String>> {
    let names = params.take("type");
    let direction = direction(params);
    if names.is_none() && direction.is_none() {
        return None;
    }
    let wanted = names.iter().flat_map(|names| names.split(',')).map(|part| part.trim().to_owned());
    let filter = Filter { event_types: wanted.collect(), direction, ..Filter::default() };
    if !filter.event_types.iter().all(|part| Filter::is_known(part)) {
        params.fault("type", "event_type", "event types of the documentation, or prefixes such as message.*");
    }
    let types = EventType::ALL.iter().filter(|event_type| filter.matches(**event_type, None));
    Some(types.map(|event_type| event_type.as_str().to_owned()).collect())
}

fn direction(params: &mut Params) -> Option<Direction> {
    let text = params.take("direction")?;
    let direction = Direction::parse(&text);
    if direction.is_none() {
        params.fault("direction", "choice", "in or out");
    }
    direction
}

/// Every fault of a predicate is told with its place in it.
fn predicate(params: &mut Params) -> Option<Predicate> {
    let text = params.take("where")?;
    let Ok(source) = serde_json::from_str(&text) else {
        params.fault("where", "json", "JSON");
        return None;
    };
    match Predicate::parse(source) {
        Ok(predicate) => Some(predicate),
        Err(faults) => {
            for fault in faults {
                params.fault(&format!("where{}", fault.pointer), "predicate", fault.expected);
            }
            None
        }
    }
}

fn fields(params: &mut Params) -> Fields {
    let Some(text) = params.take("fields") else { return Fields::Full };
    Fields::parse(&text).unwrap_or_else(|| {
        params.fault("fields", "choice", "ids, metadata, masked or full");
        Fields::Full
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types_of(query: &str) -> Result<Option<Vec<String>>, String> {
        let mut params = Params::of(query);
        let wanted = Wanted::take(&mut params, 1);
        let told = |problem: super::super::problem::Problem| String::from_utf8(problem.json(None)).unwrap();
        params.finish().map(|()| wanted.query.types).map_err(told)
    }

    #[test]
    fn names_prefixes_and_the_direction_stand_for_their_types() {
        assert_eq!(types_of("").unwrap(), None);
        let some = types_of("type=message.read,%20standby,call.*").unwrap().unwrap();
        assert_eq!(some, ["message.read", "call.updated", "standby"]);
        assert_eq!(types_of("direction=in").unwrap().unwrap().len(), 3);
        assert_eq!(types_of("direction=out&type=message.*").unwrap().unwrap().len(), 11);
        assert!(types_of("direction=in&type=call.*").unwrap().unwrap().is_empty());
        assert!(types_of("type=message.*,mesage.*").is_err() && types_of("type=").is_err());
    }

    #[test]
    fn all_faults_are_told_together_and_those_of_a_predicate_with_their_place() {
        let told = types_of(
            "direction=up&fields=most&contact_id=canary&where=%7B%22all%22%3A%5B%7B%22at%22%3A%22canary%22%7D%5D%7D",
        )
        .unwrap_err();
        for place in ["?direction", "?fields", "?contact_id", "?where/all/0/at", "?where/all/0\""] {
            assert!(told.contains(place), "{place} in {told}");
        }
        assert!(!told.contains("canary"));
        assert!(types_of("where=canary").unwrap_err().contains("?where"));
    }
}

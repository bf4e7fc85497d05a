//! Reads JSON bodies: every field by its own type, unknown ones are faults, and all faults are told together.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::problem::{Code, Fault, Problem};
use crate::access::Errand;
use crate::clock::SharedClock;

/// A body that was read.
pub(super) struct Json<T>(pub(super) T);

/// A body, made by [`request!`].
pub(super) trait Body: Sized {
    /// Takes its fields. `None` when one of them has a fault.
    fn read(fields: &mut Fields) -> Option<Self>;
}

/// A field's value.
pub(super) trait Field: Sized {
    /// Reads the value; faults are noted at `at`.
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self>;

    /// What it is when the body does not have it, or has null. `None`: it is required.
    fn absent() -> Option<Self> {
        None
    }

    /// Takes it from a body. A group of fields takes each of its own.
    fn take(fields: &mut Fields, name: &str) -> Option<Self> {
        fields.take(name)
    }
}

impl<T: Field> Field for Option<T> {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        if json.get() == "null" { Some(None) } else { T::read(json, at, faults).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let Ok(items) = serde_json::from_str::<Vec<Box<RawValue>>>(json.get()) else {
            return faults.note(at, "type", "a list");
        };
        let read = items.iter().enumerate().map(|(index, item)| T::read(item, &format!("{at}/{index}"), faults));
        // Every element is read before one that is missing counts: its fault is noted.
        read.collect::<Vec<_>>().into_iter().collect()
    }
}

impl Field for Box<RawValue> {
    fn read(json: &RawValue, _at: &str, _faults: &mut Faults) -> Option<Self> {
        Some(json.to_owned())
    }
}

/// A field of a change: absent leaves the value, null takes it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change<T> {
    /// Leaves it.
    Keep,
    /// Takes it away.
    Clear,
    /// Replaces it.
    Set(T),
}

impl<T: Field> Field for Change<T> {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        if json.get() == "null" { Some(Self::Clear) } else { T::read(json, at, faults).map(Self::Set) }
    }

    fn absent() -> Option<Self> {
        Some(Self::Keep)
    }
}

/// What is wrong with a body.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault. Returns `None`, for the value that is not there.
    pub(super) fn note<T>(&mut self, pointer: &str, code: &str, detail: impl Into<String>) -> Option<T> {
        self.0.push(Fault { pointer: pointer.to_owned(), detail: detail.into(), code: code.to_owned() });
        None
    }

    /// Refuses when there are any.
    pub(super) fn refuse(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::with_errors(Code::InvalidBody, self.0)) }
    }
}

/// The members of an object, as far as they were not yet taken. Of doubled ones the last counts.
pub(super) struct Fields {
    at: String,
    left: BTreeMap<String, Box<RawValue>>,
    faults: Faults,
    now: OffsetDateTime,
}

impl Fields {
    fn parse(bytes: &[u8], now: OffsetDateTime) -> Result<Self, Problem> {
        let left = serde_json::from_slice(bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let what = if error.is_data() { "a JSON object was expected" } else { "reading stopped" };
            Problem::new(Code::InvalidJson).with_detail(format!("{what} at {place}"))
        })?;
        Ok(Self { at: String::new(), left, faults: Faults::default(), now })
    }

    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.at, name.replace('~', "~0").replace('/', "~1"))
    }

    /// Takes a field.
    pub(super) fn take<T: Field>(&mut self, name: &str) -> Option<T> {
        let pointer = self.pointer(name);
        match self.left.remove(name) {
            Some(json) => T::read(&json, &pointer, &mut self.faults),
            None => T::absent().or_else(|| self.faults.note(&pointer, "required", "this field is required")),
        }
    }

    /// Where faults are noted.
    pub(super) const fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// When the body came.
    pub(super) const fn now(&self) -> OffsetDateTime {
        self.now
    }

    /// What was wrong, with the members that nobody took.
    fn finish(mut self) -> Faults {
        for name in std::mem::take(&mut self.left).into_keys() {
            let pointer = self.pointer(&name);
            let _none: Option<()> = self.faults.note(&pointer, "unknown", "there is no such field");
        }
        self.faults
    }
}

/// Reads an object inside a body.
pub(super) fn object<T: Body>(json: &RawValue, at: &str, faults: &mut Faults) -> Option<T> {
    let Ok(left) = serde_json::from_str(json.get()) else { return faults.note(at, "type", "an object") };
    let mut fields = Fields { at: at.to_owned(), left, faults: Faults::default(), now: OffsetDateTime::UNIX_EPOCH };
    let body = T::read(&mut fields);
    let mut found = fields.finish();
    let whole = found.0.is_empty();
    faults.0.append(&mut found.0);
    body.filter(|_| whole)
}

/// Reads a whole body, and says which members it has.
pub(super) fn read<T: Body>(bytes: &[u8], now: OffsetDateTime) -> Result<(T, Vec<String>), Problem> {
    let mut fields = Fields::parse(bytes, now)?;
    let names = fields.left.keys().cloned().collect();
    let body = T::read(&mut fields);
    fields.finish().refuse()?;
    // A body without faults is whole, and every name in it is ours.
    Ok((body.ok_or(Problem::new(Code::Internal))?, names))
}

/// A body that its handler reads, because the text itself may be known already.
pub(super) struct Unread {
    /// The text.
    pub(super) text: Bytes,
    errand: Option<Errand>,
}

impl Unread {
    /// Reads it.
    pub(super) fn read<T: Body>(&self, now: OffsetDateTime) -> Result<T, Problem> {
        let (body, names) = read(&self.text, now)?;
        if let Some(errand) = &self.errand {
            errand.touch(&names);
        }
        Ok(body)
    }
}

impl<S: Send + Sync, T: Body> FromRequest<S> for Json<T>
where
    SharedClock: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Unread::from_request(request, state).await?.read(SharedClock::from_ref(state).now()).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        let errand = request.extensions().get::<Errand>().cloned();
        let text = Bytes::from_request(request, state).await.map_err(|rejection| {
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge),
                _ => Problem::new(Code::InvalidJson).with_detail("the body broke off"),
            }
        })?;
        Ok(Self { text, errand })
    }
}

/// Declares a body: its schema for the documentation, and how it is read, in one place.
macro_rules! request {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(utoipa::ToSchema)]
        pub(super) struct $name { $($(#[$field_meta])* pub(super) $field: $kind),+ }

        impl $crate::http::api::body::Body for $name {
            fn read(fields: &mut $crate::http::api::body::Fields) -> Option<Self> {
                $(let $field = <$kind as $crate::http::api::body::Field>::take(fields, stringify!($field));)+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}
pub(super) use request;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::fields::Name;

    request! {
        /// A body for this test.
        Sample {
            /// Required.
            name: Name,
            /// Optional.
            names: Option<Vec<Name>>,
            /// Nullable.
            #[schema(value_type = Option<String>)]
            note: Change<Name>,
        }
    }

    fn refused(body: &str) -> serde_json::Value {
        let problem = read::<Sample>(body.as_bytes(), OffsetDateTime::UNIX_EPOCH).map(|_| ()).unwrap_err();
        serde_json::from_slice(&problem.json(None)).unwrap()
    }

    #[test]
    fn a_body_without_faults_is_read() {
        let (body, names) =
            read::<Sample>(br#"{"name":"a","names":["b"],"note":null}"#, OffsetDateTime::UNIX_EPOCH).unwrap();
        assert_eq!(names, ["name", "names", "note"]);
        assert_eq!((body.name.0.as_str(), body.names.map(|names| names.len())), ("a", Some(1)));
        assert!(matches!(body.note, Change::Clear));
        let (body, _) = read::<Sample>(br#"{"name":"a","names":null}"#, OffsetDateTime::UNIX_EPOCH).unwrap();
        assert!(body.names.is_none() && matches!(body.note, Change::Keep));
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_place() {
        let told = refused(r#"{"names":["x",7,""],"note":"","ca/na~ry":1}"#);
        let faults: Vec<_> = told["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
            .collect();
        let expected = [
            ("/name", "required"),
            ("/names/1", "type"),
            ("/names/2", "length"),
            ("/note", "length"),
            ("/ca~1na~0ry", "unknown"),
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn what_is_no_json_is_refused_with_a_position_and_without_its_text() {
        let told = refused("{\"name\":\n canary}");
        assert_eq!((&told["code"], &told["status"]), (&"invalid_json".into(), &400.into()));
        assert!(told["detail"].as_str().unwrap().contains("line 2") && !told.to_string().contains("canary"));
        assert_eq!(refused("[]")["code"], "invalid_json");
        assert_eq!(refused("")["code"], "invalid_json");
    }
}

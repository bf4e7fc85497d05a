//! What an endpoint may ask for beside its URL, format and filter: read from bodies, checked together, and applied.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{Change, Faults, Field, Fields as Members, request};
use super::credential_fields::{AuthBody, CertificateBody, HeaderLines};
use super::fields::value;
use crate::domain::endpoint::{Direction, Endpoint, Fields, Format, Order};
use crate::domain::predicate::Predicate;

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident($of:ty) = $pattern:literal, $expected:literal, $parse:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, ToSchema)]
        #[schema(value_type = String, pattern = $pattern)]
        pub(super) struct $name(pub(super) $of);

        impl Field for $name {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                let text: String = value(json, at, faults, "a text")?;
                let parse: fn(&str) -> Option<$of> = $parse;
                parse(&text).map(Self).or_else(|| faults.note(at, "choice", $expected))
            }
        }
    )+};
}

/// The word for an order; the number of attempts stands in a field of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderWord {
    None,
    Block,
    Skip,
}

choices! {
    /// `in`: messages from people. `out`: messages of the business and what became of them.
    DirectionText(Direction) = "^(in|out)$", "in or out", Direction::parse;
    /// How much of an event is shown: `ids`, `metadata`, `masked` or `full`.
    FieldsText(Fields) = "^(ids|metadata|masked|full)$", "ids, metadata, masked or full", Fields::parse;
    /// The order of a contact's events: `none`, `block` or `skip`.
    OrderText(OrderWord) = "^(none|block|skip)$", "none, block or skip", |text| match text {
        "none" => Some(OrderWord::None),
        "block" => Some(OrderWord::Block),
        "skip" => Some(OrderWord::Skip),
        _ => None,
    };
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $from:tt ..= $to:tt),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, ToSchema)]
        #[schema(value_type = u32, minimum = $from, maximum = $to)]
        pub(super) struct $name(pub(super) u32);

        impl Field for $name {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                let expected = concat!("a whole number from ", $from, " to ", $to);
                let number: u32 = value(json, at, faults, expected)?;
                if ($from..=$to).contains(&number) { Some(Self(number)) } else { faults.note(at, "range", expected) }
            }
        }
    )+};
}

numbers! {
    /// Failed attempts after which an event no longer holds back the later ones of its contact.
    SkipAfter: 1..=12,
    /// Requests that may begin in a second.
    PerSecond: 1..=10_000,
    /// Requests at the same time.
    InFlight: 1..=1_024,
    /// Milliseconds.
    TimeoutMillis: 100..=120_000,
    /// Seconds for which the old secret goes on signing beside the new one.
    GraceSeconds: 0..=604_800,
}

/// A condition on the event JSON (docs/delivery.md): an object with `at`, a JSON pointer, and one of `is`, `in`, `exists`,
/// `starts_with`, `contains`, `at_least`, `at_most`; or `all`, `any`, `not` of such.
#[derive(ToSchema)]
#[schema(value_type = Object, example = json!({"at": "/data/item/type", "in": ["text", "image"]}))]
pub(super) struct PredicateBody(Predicate);

impl Field for PredicateBody {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let source = value(json, at, faults, "an object")?;
        match Predicate::parse(source) {
            Ok(predicate) => Some(Self(predicate)),
            Err(wrong) => {
                for one in wrong {
                    faults.note(&format!("{at}{}", one.pointer), "predicate", one.expected).unwrap_or(());
                }
                None
            }
        }
    }
}

request! {
    /// What an endpoint may ask for. Null brings back what holds when a field is absent at first.
    EndpointOptions {
        /// Events about messages of one direction alone; absent: both, and all other events.
        #[schema(value_type = Option<DirectionText>)]
        direction: Change<DirectionText>,
        /// What an event must look like; decided when it is delivered. Absent: anything. Shown only to keys with
        /// `endpoints:manage`.
        #[schema(value_type = Option<PredicateBody>)]
        predicate: Change<PredicateBody>,
        /// How much is shown; when absent, as much as the key that adds it may see, which is also the most. `meta` endpoints are shown everything.
        #[schema(value_type = Option<FieldsText>)]
        fields: Change<FieldsText>,
        /// Whether contacts have ids of their own here, which no other endpoint's can be joined with. Not with `full`.
        #[schema(value_type = Option<bool>)]
        pseudonymous: Change<bool>,
        /// `none` when absent. `block`: a contact's events come one after the other, and one that fails holds back the later
        /// ones. `skip`: the same until `skip_after` attempts failed.
        #[schema(value_type = Option<OrderText>)]
        order: Change<OrderText>,
        /// Required with the order `skip`, and absent otherwise.
        #[schema(value_type = Option<SkipAfter>)]
        skip_after: Change<SkipAfter>,
        /// Absent: no limit.
        #[schema(value_type = Option<PerSecond>)]
        max_per_second: Change<PerSecond>,
        /// Absent: as the gateway is configured.
        #[schema(value_type = Option<InFlight>)]
        max_in_flight: Change<InFlight>,
        /// How long a request may take, its answer included. Absent: as the gateway is configured.
        #[schema(value_type = Option<TimeoutMillis>)]
        timeout_ms: Change<TimeoutMillis>,
        /// Header lines that are added to each request. Their values are never shown again.
        #[schema(value_type = Option<HeaderLines>)]
        headers: Change<HeaderLines>,
        /// What goes into `Authorization`. Never shown again.
        #[schema(value_type = Option<AuthBody>)]
        auth: Change<AuthBody>,
        /// What the gateway proves itself with when TLS is agreed. Never shown again.
        #[schema(value_type = Option<CertificateBody>)]
        client_certificate: Change<CertificateBody>,
    }
}

impl Field for EndpointOptions {
    fn read(_json: &RawValue, _at: &str, _faults: &mut Faults) -> Option<Self> {
        None
    }

    fn take(fields: &mut Members, _name: &str) -> Option<Self> {
        <Self as super::body::Body>::read(fields)
    }
}

impl<T> Change<T> {
    fn put<U>(self, slot: &mut Option<U>, read: impl FnOnce(T) -> Option<U>) {
        match self {
            Self::Keep => {}
            Self::Clear => *slot = None,
            Self::Set(value) => *slot = read(value),
        }
    }

    /// The new value, where there is one; null brings back `initial`.
    fn replace<U>(self, slot: &mut U, initial: U, read: impl FnOnce(T) -> U) {
        match self {
            Self::Keep => {}
            Self::Clear => *slot = initial,
            Self::Set(value) => *slot = read(value),
        }
    }
}

const fn small(number: u32) -> Option<NonZeroU16> {
    NonZeroU16::new((number & 0xffff) as u16)
}

impl EndpointOptions {
    /// Applies the options, and notes which of them do not go together.
    /// Whether what the endpoint is shown may be more than before.
    pub(super) const fn shows_anew(&self) -> bool {
        !matches!(
            (&self.fields, &self.predicate, &self.pseudonymous),
            (Change::Keep, Change::Keep | Change::Clear, Change::Keep)
        )
    }

    pub(super) fn apply(self, endpoint: &mut Endpoint, faults: &mut Faults) {
        self.direction.put(&mut endpoint.filter.direction, |direction| Some(direction.0));
        self.predicate.put(&mut endpoint.filter.predicate, |predicate| Some(predicate.0));
        self.fields.replace(&mut endpoint.fields, Fields::Full, |fields| fields.0);
        self.pseudonymous.replace(&mut endpoint.pseudonymous, false, |pseudonymous| pseudonymous);
        let pace = &mut endpoint.pace;
        self.max_per_second.put(&mut pace.max_per_second, |rate| NonZeroU32::new(rate.0));
        self.max_in_flight.put(&mut pace.max_in_flight, |most| small(most.0));
        self.timeout_ms.put(&mut pace.timeout, |millis| Some(Duration::from_millis(millis.0.into())));
        pace.order = order(pace.order, self.order, self.skip_after, faults);
        let credentials = &mut endpoint.credentials;
        self.headers.replace(&mut credentials.headers, Vec::new(), |lines| lines.0);
        self.auth.put(&mut credentials.auth, |auth| Some(auth.0));
        self.client_certificate.put(&mut credentials.certificate, |certificate| Some(certificate.0));
        if endpoint.format == Format::Meta && endpoint.fields != Fields::Full {
            faults.note("/fields", "format", "full: this format is Meta's own JSON").unwrap_or(());
        }
        if endpoint.pseudonymous && endpoint.fields == Fields::Full {
            let expected = "false, or fields ids, metadata or masked: full shows the number itself";
            faults.note("/pseudonymous", "fields", expected).unwrap_or(());
        }
    }
}

fn order(before: Order, word: Change<OrderText>, after: Change<SkipAfter>, faults: &mut Faults) -> Order {
    let mut attempts = before.after();
    after.put(&mut attempts, |after| small(after.0));
    let mut wanted = match before {
        Order::None => OrderWord::None,
        Order::Block => OrderWord::Block,
        Order::Skip { .. } => OrderWord::Skip,
    };
    let said = !matches!(word, Change::Keep);
    word.replace(&mut wanted, OrderWord::None, |word| word.0);
    match (wanted, attempts) {
        (OrderWord::Skip, Some(after)) => Order::Skip { after },
        (OrderWord::Skip, None) => {
            faults.note("/skip_after", "required", "required with the order skip").unwrap_or(());
            before
        }
        // The number of before goes with the order of before; one that was given now is a mistake.
        (_, Some(now)) if !said || before.after() != Some(now) => {
            faults.note("/skip_after", "order", "absent: it belongs to the order skip").unwrap_or(());
            before
        }
        (OrderWord::None, _) => Order::None,
        (OrderWord::Block, _) => Order::Block,
    }
}

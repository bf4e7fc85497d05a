//! The ids in a path.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::problem::{Code, Problem};

/// Two of our ids, in the order of the path.
pub(super) struct Targets<A, B>(pub(super) A, pub(super) B);

impl<S: Send + Sync, A: FromStr, B: FromStr> FromRequestParts<S> for Targets<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await.ok();
        let ids = texts.and_then(|Path((first, second))| first.parse().ok().zip(second.parse().ok()));
        ids.map(|(first, second)| Self(first, second)).ok_or(Problem::new(Code::NotFound))
    }
}

/// One of our ids, out of the path. What is no id is as absent as an id that nobody has.
pub(super) struct Target<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Target<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        text.and_then(|Path(text)| text.parse().ok()).map(Self).ok_or(Problem::new(Code::NotFound))
    }
}

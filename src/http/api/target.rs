//! The id in a path.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::problem::{Code, Problem};

/// One of our ids, out of the path. What is no id is as absent as an id that nobody has.
pub(super) struct Target<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Target<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        text.and_then(|Path(text)| text.parse().ok()).map(Self).ok_or(Problem::new(Code::NotFound))
    }
}

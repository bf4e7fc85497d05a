//! Why a request got no answer, told by the kinds of the causes alone: their texts contain the URL.

use std::error::Error;
use std::io;

use super::attempt::AttemptClass;
use super::guard::Refused;

/// The class of a request that got no answer.
pub(super) fn class_of(error: &reqwest::Error) -> AttemptClass {
    let is_refused = |cause: &&(dyn Error + 'static)| {
        cause.downcast_ref::<Refused>().is_some_and(|refused| *refused != Refused::Unresolved)
    };
    if causes(error).any(|cause| is_refused(&cause)) {
        AttemptClass::Refused
    } else if error.is_timeout() {
        AttemptClass::Timeout
    } else if error.is_connect() && causes(error).any(is_handshake) {
        AttemptClass::Tls
    } else if error.is_connect() {
        AttemptClass::Connect
    } else {
        AttemptClass::Protocol
    }
}

/// A TCP connection fails in neither of these ways; the TLS handshake upon it does.
pub(super) fn is_handshake(cause: &(dyn Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof))
}

/// The error and everything under it.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        // The source of an io::Error is the source of what it wraps, so what it wraps would be passed over.
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        }
    })
}

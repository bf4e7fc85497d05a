//! The codes of problem documents, each with its status, its title and what to do. They are stable.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = ($text:literal, $status:ident, $title:literal)),+ $(,)?) => {
        /// What went wrong, by what the caller can do about it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::http) enum Code { $($(#[doc = $doc])+ $name),+ }

        impl Code {
            /// Every code, in the order of the documentation.
            pub(in crate::http) const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable name.
            pub(in crate::http) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            pub(in crate::http) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            pub(in crate::http) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// What it means and what to do, for the documentation.
            pub(in crate::http) const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not an object. `detail` says where reading stopped.
    InvalidJson = ("invalid_json", BAD_REQUEST, "The body is not valid JSON"),
    /// A query parameter is unknown or has a wrong value. `errors` lists all of them.
    InvalidQuery = ("invalid_query", BAD_REQUEST, "A query parameter is not valid"),
    /// `Idempotency-Key` is given twice, or is not 1 to 255 visible ASCII characters. Nothing was sent.
    InvalidIdempotencyKey = ("invalid_idempotency_key", BAD_REQUEST, "The idempotency key has not the right form"),
    /// No valid API key was sent in `Authorization: Bearer` or `X-Api-Key`.
    Unauthenticated = ("unauthenticated", UNAUTHORIZED, "A valid API key is required"),
    /// The key is valid, but may not do this. `detail` names the missing permission.
    Forbidden = ("forbidden", FORBIDDEN, "The API key may not do this"),
    /// There is no such thing, or it is not this caller's to see.
    NotFound = ("not_found", NOT_FOUND, "Not found"),
    /// The path exists, but not with this method.
    MethodNotAllowed = ("method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here"),
    /// The value belongs to another resource, or the resource is still in use or was changed meanwhile; `detail` says so.
    Conflict = ("conflict", CONFLICT, "The value is taken, or the resource is in use or changed"),
    /// A request with the same `Idempotency-Key` is being stored at this moment. Ask again after a second: the answer will be its.
    IdempotencyInProgress = ("idempotency_in_progress", CONFLICT, "The same request is in progress"),
    /// The message does not wait any more: it is on its way to Meta, or its fate is known.
    MessageNotQueued = ("message_not_queued", CONFLICT, "The message is not waiting any more"),
    /// The file is still to be fetched from Meta. Ask again after a second.
    MediaWaiting = ("media_waiting", CONFLICT, "The file is not there yet"),
    /// This person is being erased already (`GET /v1/privacy/erasures`).
    ErasureUnderWay = ("erasure_under_way", CONFLICT, "The person is being erased already"),
    /// The hold is not waiting to be approved, or is over, or its approver is who asked for it, or the person is being erased.
    HoldNotChanged = ("hold_not_changed", CONFLICT, "The hold cannot be changed so"),
    /// The request is not open, or is due, or was given longer before, or its law knows no such thing; or an erasure was begun for it, or it
    /// is about something else.
    RequestNotChanged = ("request_not_changed", CONFLICT, "The request cannot be changed so"),
    /// The erasure is not over yet; `GET /v1/privacy/erasures/{id}` says how far it is.
    NotCertified = ("not_certified", CONFLICT, "There is no certificate yet"),
    /// `media.url` names no place where files are kept, and archives lie there.
    NoPlaceForFiles = ("no_place_for_files", CONFLICT, "There is no place for files"),
    /// Meta has told within the last 30 days that this person's number, id or device changed: somebody else may be asking. Make sure who
    /// it is, and say so with `identity_confirmed`.
    IdentityChanged = ("identity_changed", CONFLICT, "The person's identity changed of late"),
    /// The archive is still to be made; `GET /v1/privacy/exports/{id}` says how far it is.
    ExportWaiting = ("export_waiting", CONFLICT, "The archive is not there yet"),
    /// The time of the archive is over, or its person was erased. Ask for another.
    ExportGone = ("export_gone", GONE, "The archive is gone"),
    /// Somebody holds these data, or they are restricted: they are shown to keys with `held:read` alone.
    ContactHeld = ("contact_held", FORBIDDEN, "The contact's data are held or restricted"),
    /// There is no file to be had any more; `detail` says why.
    MediaGone = ("media_gone", GONE, "The file is gone"),
    /// The channel leaves files at Meta (`media: "never"`): this one is not to be had here.
    MediaNotKept = ("media_not_kept", GONE, "The file is not kept"),
    /// The link is over, was never given out, or was changed; or the key that made it is no longer valid, or not used from here.
    LinkOver = ("link_over", NOT_FOUND, "The link is over"),
    /// The range lies behind the end of the file. `Content-Range` says how long it is.
    RangeNotSatisfiable = ("range_not_satisfiable", RANGE_NOT_SATISFIABLE, "The file has no such bytes"),
    /// The entry is in the log, but not in its tree yet. Ask again after a second.
    NotInTree = ("not_in_tree", CONFLICT, "The entry is not in the tree yet"),
    /// The first measurement of the posture is still under way: it looks at every row. Ask again after some seconds.
    PostureWaiting = ("posture_waiting", CONFLICT, "The posture is still being measured"),
    /// The body is longer than 1 MiB.
    BodyTooLarge = ("body_too_large", PAYLOAD_TOO_LARGE, "The body is too large"),
    /// The file is longer than Meta takes of its kind; `detail` says how long it may be. Nothing was kept.
    FileTooLarge = ("file_too_large", PAYLOAD_TOO_LARGE, "The file is too large"),
    /// Meta takes no files of this type (`docs/api.md`, "Files"). Nothing was kept.
    FileTypeNotTaken = ("file_type_not_taken", UNSUPPORTED_MEDIA_TYPE, "Meta takes no such files"),
    /// There is no file in the request, it is empty, or it broke off. Nothing was kept.
    FileIncomplete = ("file_incomplete", BAD_REQUEST, "The file is missing or incomplete"),
    /// The body is not declared as `application/json`.
    UnsupportedMediaType = ("unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"),
    /// Fields are missing, unknown or have wrong values. `errors` lists all of them.
    InvalidBody = ("invalid_body", UNPROCESSABLE_ENTITY, "The body has faults"),
    /// No message of the batch was taken. `errors` lists why, for each of them.
    BatchRefused = ("batch_refused", UNPROCESSABLE_ENTITY, "No message of the batch was taken"),
    /// The `Idempotency-Key` was used for another request within the last 24 hours. Nothing was sent.
    IdempotencyKeyReused = ("idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key stands for another request"),
    /// The endpoint did not repeat the challenge of the verification handshake.
    VerificationFailed = ("verification_failed", UNPROCESSABLE_ENTITY, "The endpoint was not verified"),
    /// The channel has no access token.
    ChannelCannotSend = ("channel_cannot_send", UNPROCESSABLE_ENTITY, "The channel cannot send"),
    /// More than 24 hours have passed since the contact's last message or call to this number: Meta takes templates alone
    /// (`GET /v1/contacts/{id}/window`). Nothing was sent.
    WindowClosed = ("window_closed", UNPROCESSABLE_ENTITY, "The customer service window is closed"),
    /// The contact does not want marketing, or never agreed to it where that is asked for (`GET /v1/contacts/{id}/consent`). Nothing was
    /// sent.
    OptedOut = ("opted_out", UNPROCESSABLE_ENTITY, "The contact does not want marketing"),
    /// The contact's data are kept and not used (`/v1/contacts/{id}/restriction`). Nothing was sent.
    ContactRestricted = ("contact_restricted", UNPROCESSABLE_ENTITY, "The contact's data are restricted"),
    /// This key, or all together, have as many requests that wait for events or as many open streams as there may be. Close one, or
    /// try again after `Retry-After`.
    TooManyReaders = ("too_many_readers", TOO_MANY_REQUESTS, "Too many readers wait for events"),
    /// The key was about to be shown more contacts in an hour than it may, and is locked until somebody unlocks it.
    ReadBudgetExceeded = ("read_budget_exceeded", TOO_MANY_REQUESTS, "The API key is locked"),
    /// Too many of these requests lately. Try again after `Retry-After`.
    RateLimited = ("rate_limited", TOO_MANY_REQUESTS, "Too many requests"),
    /// The request took longer than 30 seconds. It may have had its effect.
    TimedOut = ("timed_out", GATEWAY_TIMEOUT, "The request took too long"),
    /// Meta was asked and refuses it. `detail` has Meta's error code (docs/errors.md).
    MetaRefused = ("meta_refused", UNPROCESSABLE_ENTITY, "Meta refuses it"),
    /// Meta cannot be reached. Nothing was done.
    MetaUnreached = ("meta_unreached", BAD_GATEWAY, "Meta cannot be reached"),
    /// Meta was asked, and its answer was lost: it may have been done. Asking again does no harm.
    MetaInDoubt = ("meta_in_doubt", GATEWAY_TIMEOUT, "The answer of Meta was lost"),
    /// The database or the keys are away. The same request may succeed later.
    Unavailable = ("unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable"),
    /// A fault of the gateway. The log tells more under the request id.
    Internal = ("internal", INTERNAL_SERVER_ERROR, "Internal error"),
}

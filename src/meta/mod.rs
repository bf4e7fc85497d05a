//! Meta's side: proof that a webhook is Meta's, the parser, the Graph client and the table of error codes.

pub mod answer;
pub mod client;
pub mod errors;
pub mod minimise;
pub mod parse;
pub mod signature;
pub mod told;

//! Floor 4: may this caller do this for this tenant? Makes the [`Permit`](permit::Permit).

pub mod denial;
pub mod permit;

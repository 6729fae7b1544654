//! The network to the token endpoint, and what else fails beneath many refreshes: every fault on the way, many replicas,
//! frozen and killed ones, a store that is away.

mod books;
mod fate;
mod matrix;
mod relay;
mod site;

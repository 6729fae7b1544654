//! The network to the token endpoint, and what else fails beneath many refreshes: every fault on the way, many replicas,
//! frozen and killed ones, a store that is away.

mod books;
mod cutter;
mod doors;
mod fate;
mod frozen;
mod load;
mod marathon;
mod matrix;
mod outage;
mod relay;
mod replicas;
mod site;

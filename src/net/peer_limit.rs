//! How many links one address may have open, across all threads. Not here: the limit on all links.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts links per address.
#[derive(Debug)]
pub struct PeerLimit {
    limit: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

impl PeerLimit {
    /// At most `limit` links from one address; an IPv4 address counts as the same in its IPv6 form.
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            open: Mutex::default(),
        })
    }

    /// A seat for one link, or none if the address has used up its own.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = address.to_canonical();
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Seat {
            limit: Arc::clone(self),
            address,
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One link of an address, given back on drop.
#[derive(Debug)]
pub(super) struct Seat {
    limit: Arc<PeerLimit>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_seats_and_no_more() {
        let limit = PeerLimit::new(1);
        let address = IpAddr::from([192, 0, 2, 1]);
        let seat = limit.enter(address).unwrap();
        assert!(limit.enter("::ffff:192.0.2.1".parse().unwrap()).is_none());
        assert!(limit.enter(IpAddr::from([192, 0, 2, 2])).is_some());
        drop(seat);
        assert!(limit.enter(address).is_some());
    }

    #[test]
    fn an_address_without_links_is_forgotten() {
        let limit = PeerLimit::new(0);
        assert!(limit.enter(IpAddr::from([192, 0, 2, 1])).is_none());
        let limit = PeerLimit::new(1);
        drop(limit.enter(IpAddr::from([192, 0, 2, 1])));
        assert!(limit.open().is_empty());
    }
}

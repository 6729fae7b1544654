//! Data of a body that is kept for later. Small pieces are put together: a body of sixty thousand single bytes takes the
//! room of its bytes, not of sixty thousand frames. Not here: how much is kept.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Below this a piece is copied instead of kept with the buffer that it lies in. Bytes.
const SMALL: usize = 1024;

/// Pieces of data in their order.
#[derive(Debug, Default)]
pub struct Gathered {
    pieces: VecDeque<Bytes>,
    /// The last piece, while small ones are added to it.
    last: BytesMut,
}

impl Gathered {
    /// Adds a piece that is not empty. The first is kept as it is: most bodies have just one.
    pub fn push(&mut self, data: Bytes) {
        if data.len() < SMALL && self.count() > 0 {
            self.last.extend_from_slice(&data);
        } else {
            self.close();
            self.pieces.push_back(data);
        }
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.pieces.len() + usize::from(!self.last.is_empty())
    }

    /// The piece at a place; it is not added to any more.
    pub fn get(&mut self, place: usize) -> Option<Bytes> {
        self.close();
        self.pieces.get(place).cloned()
    }

    /// Takes the first piece out.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.close();
        self.pieces.pop_front()
    }

    fn close(&mut self) {
        if !self.last.is_empty() {
            self.pieces.push_back(self.last.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_its_order(sizes in proptest::collection::vec(1_usize..3_000, 0..40)) {
            let mut gathered = Gathered::default();
            let mut all = Vec::new();
            for (number, size) in (0_u8..).zip(&sizes) {
                let data = vec![number; *size];
                all.extend_from_slice(&data);
                gathered.push(data.into());
                prop_assert!(gathered.count() > 0);
            }
            let count = gathered.count();
            let places: Vec<u8> = (0..count).flat_map(|place| gathered.get(place).unwrap()).collect();
            prop_assert_eq!(&places, &all);
            prop_assert_eq!(gathered.get(count), None);
            prop_assert_eq!(gathered.count(), count);
            let popped: Vec<u8> = std::iter::from_fn(|| gathered.pop()).flatten().collect();
            prop_assert_eq!(&popped, &all);
        }
    }

    #[test]
    fn single_bytes_take_the_room_of_bytes() {
        let mut gathered = Gathered::default();
        for _ in 0..60_000 {
            gathered.push(Bytes::from_static(b"x"));
        }
        assert_eq!(gathered.count(), 2);
        assert!(gathered.last.capacity() < 130_000);
    }
}

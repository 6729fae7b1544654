//! Which route a call means.

use std::sync::Arc;

use super::route::Route;

/// The routes, ready to be found.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Every route, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }
}

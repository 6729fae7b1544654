//! Which of Pleo's operations a call means, regardless of the routes: the catalogue's own paths, matched as the gateway
//! matches. For the log only: what is allowed is up to the routes (`model::route_table`).

use std::sync::LazyLock;

use http::Method;

use super::catalogue::{self, Operation};
use super::ids::RouteName;
use super::route::{Route, RouteOrigin, Template};
use super::route_table::RouteTable;

/// The name of the operation that a call means. `path` is a canonical one. Allocates nothing.
pub fn meant(method: &Method, path: &str) -> Option<&'static str> {
    static TABLE: LazyLock<RouteTable> = LazyLock::new(|| {
        let routes = catalogue::builtin().operations.iter().filter_map(route);
        RouteTable::build(routes.collect()).unwrap_or_default()
    });
    TABLE
        .most_specific(method, path)
        .map(|route| route.name.as_ref())
}

fn route(operation: &Operation) -> Option<Route> {
    let template = Template::parse(operation.path).ok()?;
    let name = RouteName::new(operation.operation_id);
    Some(Route {
        methods: vec![operation.method.clone()],
        ..Route::new(name, template, RouteOrigin::Catalogue)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_meant_by_its_own_path() {
        for operation in &catalogue::builtin().operations {
            let path = operation.path.replace(['{', '}'], "~");
            assert_eq!(
                meant(&operation.method, &path),
                Some(operation.operation_id),
                "{path}"
            );
        }
    }

    #[test]
    fn what_pleo_does_not_have_means_none() {
        for (method, path) in [
            (Method::GET, "/v9/nothing"),
            (Method::PATCH, "/v2/employees"),
            (Method::GET, "/v2/employees/"),
            (Method::GET, "/"),
        ] {
            assert_eq!(meant(&method, path), None, "{path}");
        }
    }
}

//! Where the gateways listen at the moment, for load that goes on while they are killed and started again.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::stand::caller::{Answer, Link};
use crate::stand::serving::Serving;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doors {
    pub(super) callers: SocketAddr,
    admin: SocketAddr,
    admin_token: String,
}

impl Doors {
    pub(super) fn of(serving: &Serving) -> Self {
        Self {
            callers: serving.callers,
            admin: serving.admin,
            admin_token: serving.admin_token.clone(),
        }
    }

    /// An operator's link.
    pub(super) async fn open_admin(&self) -> Option<Link> {
        Link::try_open(self.admin).await.ok()
    }

    pub(super) async fn ask(
        &self,
        link: &mut Link,
        method: http::Method,
        path: &str,
    ) -> Option<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.admin.to_string())
            .header("authorization", format!("Bearer {}", self.admin_token))
            .body(Full::<Bytes>::default())
            .unwrap();
        link.request(request).await.ok()
    }
}

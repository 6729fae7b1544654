//! What is known of a request so far: written by the proxy along the way, and read for the log, the metrics and the replies,
//! even if the caller went away half-way.

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use http::Method;

use super::allowance::Seats;
use crate::access::denial::Denied;
use crate::access::permit::Permit;
use crate::model::ids::{CallerName, TenantName};
use crate::model::operations;
use crate::model::route::{Route, RouteOrigin};
use crate::tokens::bearer::Bearer;

/// One request's way so far.
#[derive(Debug, Default)]
pub struct Journey {
    permit: OnceCell<Permit>,
    seats: OnceCell<Seats>,
    denied: OnceCell<Denied>,
    stage: Cell<Stage>,
    generation: Cell<Option<u64>>,
    upstream: Cell<Option<Duration>>,
    replayed: Cell<bool>,
}

/// How far it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is, or waits to be, given a bearer.
    #[default]
    Obtaining,
    /// Pleo has it.
    Sent,
}

impl Journey {
    /// Who calls, once that is established.
    pub fn caller(&self) -> Option<&CallerName> {
        match self.permit.get() {
            Some(permit) => Some(&permit.caller().name),
            None => self.denied.get()?.caller.as_ref(),
        }
    }

    /// On whose behalf, once that is established.
    pub fn tenant(&self) -> Option<&TenantName> {
        match self.permit.get() {
            Some(permit) => Some(permit.tenant()),
            None => self.denied.get()?.tenant.as_ref(),
        }
    }

    /// By which route, once one is found.
    pub fn route(&self) -> Option<&Route> {
        match self.permit.get() {
            Some(permit) => Some(permit.route()),
            None => self.denied.get()?.route.as_deref(),
        }
    }

    /// Which of Pleo's operations the request, of this method, means; once its path was looked at.
    pub fn operation(&self, method: &Method) -> Option<&str> {
        let Some(permit) = self.permit.get() else {
            return self.denied.get()?.operation;
        };
        match permit.route().origin {
            RouteOrigin::Catalogue => Some(permit.route().name.as_ref()),
            RouteOrigin::Explicit => operations::meant(method, permit.target().path()),
        }
    }

    /// The permit, if it was given.
    pub fn permit(&self) -> Option<&Permit> {
        self.permit.get()
    }

    /// The generation of the pair it was last sent with.
    pub fn generation(&self) -> Option<u64> {
        self.generation.get()
    }

    /// The time Pleo took until the head of the answer; `None` if it was not sent.
    pub fn upstream(&self) -> Option<Duration> {
        self.upstream.get()
    }

    /// True if it was sent a second time.
    pub fn replayed(&self) -> bool {
        self.replayed.get()
    }

    pub(super) fn admitted(&self, permit: Permit) -> &Permit {
        self.permit.get_or_init(|| permit)
    }

    /// Its places are free again when the journey is over.
    pub(super) fn seated(&self, seats: Option<Seats>) {
        if let Some(seats) = seats {
            let _ = self.seats.set(seats);
        }
    }

    pub(super) fn refused(&self, denied: &Denied) {
        // A request is denied once.
        let _ = self.denied.set(denied.clone());
    }

    pub(super) fn sent_with(&self, bearer: &Bearer) {
        self.stage.set(Stage::Sent);
        self.generation.set(Some(bearer.generation().0));
    }

    pub(super) fn answered_after(&self, took: Duration) {
        self.upstream
            .set(Some(self.upstream.get().unwrap_or_default() + took));
        self.stage.set(Stage::Obtaining);
    }

    pub(super) fn sent_again(&self) {
        self.replayed.set(true);
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }
}

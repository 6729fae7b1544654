//! Callers without end, each on a link of its own. Every answer is judged: a call fails because of refreshing only if
//! it was not served although its token lived.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::doors::Doors;
use super::site::Site;
use crate::stand::READ;
use crate::stand::caller::Link;

/// Callers of one gateway.
pub(super) struct Load {
    callers: JoinSet<Tally>,
    on: watch::Sender<bool>,
}

/// What came of calls.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    /// Not served although the token lived.
    pub(super) failed: Vec<String>,
    /// Not served, and the tenant's pair was lost on its way from Pleo: rightly so.
    pub(super) without_a_pair: u64,
    /// In the air when their gateway was killed.
    pub(super) cut: u64,
}

/// Who calls whom.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) site: Arc<Site>,
    /// None while there is no gateway.
    pub(super) doors: watch::Receiver<Option<Doors>>,
    /// One after the other.
    pub(super) tenants: Arc<[String]>,
    pub(super) pause: Duration,
}

impl Load {
    pub(super) fn start(calls: &Calls, links: usize) -> Self {
        let on = watch::Sender::new(true);
        let mut callers = JoinSet::new();
        for place in 0..links {
            callers.spawn(calls.clone().make(place, on.subscribe()));
        }
        Self { callers, on }
    }

    pub(super) async fn end(self) -> Tally {
        self.on.send_replace(false);
        let tallies = self.callers.join_all().await;
        tallies.into_iter().fold(Tally::default(), Tally::with)
    }
}

impl Tally {
    pub(super) fn with(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.failed.extend(other.failed);
        self.without_a_pair += other.without_a_pair;
        self.cut += other.cut;
        self
    }

    /// None failed.
    pub(super) fn fine(&self) {
        let some = &self.failed[..self.failed.len().min(3)];
        let (calls, failed) = (self.calls, self.failed.len());
        assert!(failed == 0, "{failed} of {calls} calls failed: {some:?}");
        assert!(calls > 0);
    }
}

impl Calls {
    async fn make(mut self, place: usize, on: watch::Receiver<bool>) -> Tally {
        let mut tally = Tally::default();
        let mut turn = place;
        while *on.borrow() {
            let Ok(Some(doors)) = (self.doors.wait_for(Option::is_some).await).map(|d| d.clone())
            else {
                break;
            };
            let Ok(mut link) = Link::try_open(doors.callers).await else {
                self.cut_off(&doors, &mut tally, "refused").await;
                continue;
            };
            while *on.borrow() {
                let tenant = &self.tenants[turn % self.tenants.len()];
                turn += 1;
                match link.get(tenant, READ).await {
                    Ok(answer) if answer.status == 200 => tally.calls += 1,
                    Ok(answer) => {
                        tally.calls += 1;
                        if self.site.is_without_a_pair(tenant) {
                            tally.without_a_pair += 1;
                        } else {
                            let said = String::from_utf8_lossy(&answer.body).into_owned();
                            tally.failed.push(format!("{tenant}: {said}"));
                        }
                    }
                    Err(error) => {
                        self.cut_off(&doors, &mut tally, &error.to_string()).await;
                        break;
                    }
                }
                sleep(self.pause).await;
            }
        }
        tally
    }

    /// A link that breaks is nobody's fault if its gateway was killed.
    async fn cut_off(&mut self, doors: &Doors, tally: &mut Tally, why: &str) {
        if self.doors.borrow().as_ref() == Some(doors) {
            tally.failed.push(format!("the link broke: {why}"));
            sleep(self.pause).await;
        } else {
            tally.cut += 1;
        }
    }
}

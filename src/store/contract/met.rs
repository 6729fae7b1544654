//! A refresh token that is brought from outside: what a store that has met it says. How companies are kept apart is not here
//! (`contract`).

use super::{Store, change, full, tenant};
use crate::clock::Timestamp;
use crate::model::connection::{Connection, Held};
use crate::model::ids::{AttemptId, Generation, Owner};
use crate::model::ledger::{LedgerEntry, LedgerOutcome, Phase};
use crate::secret::Secret;
use crate::store::{Change, Revision, Taken, Written};

/// One row and its store, with the refresh tokens that come and go.
struct Tale {
    store: Store,
    row: Connection,
    revision: Revision,
}

impl Tale {
    async fn of(store: &Store, name: &str, refresh: &str) -> Self {
        let mut row = full(name);
        row.attempts.clear();
        row.company = None;
        row.held = pair(refresh);
        let mut tale = Self {
            store: Store::clone(store),
            row,
            revision: Revision(0),
        };
        let committed = tale.line(None, Phase::Committed, Some(LedgerOutcome::Adopted));
        tale.write(committed).await;
        tale
    }

    fn line(
        &self,
        attempt: Option<AttemptId>,
        phase: Phase,
        outcome: Option<LedgerOutcome>,
    ) -> LedgerEntry {
        LedgerEntry {
            at: Timestamp(5),
            epoch: self.row.epoch,
            generation: self.row.generation,
            attempt,
            replica: Owner::make(),
            phase,
            outcome,
        }
    }

    async fn write(&mut self, line: LedgerEntry) {
        let written = self.store.write(Change {
            ledger: vec![line],
            ..change(&self.row, self.revision)
        });
        let Written::Done(revision) = written.await.unwrap() else {
            panic!("not written");
        };
        self.revision = revision;
    }

    /// An attempt that ends so; a pair that it brings is the row's next.
    async fn refresh(&mut self, outcome: Option<LedgerOutcome>, new: Option<&str>) {
        let attempt = Some(AttemptId::make());
        self.write(self.line(attempt, Phase::Begun, None)).await;
        if let Some(new) = new {
            self.row.generation = Generation(self.row.generation.0 + 1);
            self.row.held = pair(new);
        }
        if outcome.is_some() {
            self.write(self.line(attempt, Phase::Answered, outcome))
                .await;
        }
    }

    async fn erase(&mut self) {
        self.row.epoch.0 += 1;
        self.row.held = Held::Nothing;
        self.write(self.line(None, Phase::Resolved, None)).await;
    }
}

fn pair(refresh: &str) -> Held {
    Held::Pair {
        access: None,
        refresh: Secret::new(format!("refresh-canary-{refresh}")),
    }
}

/// What becomes of a token that is brought for a tenant that the store has no row of.
async fn bring(store: &Store, name: &str, refresh: &str) -> Option<Taken> {
    let mut row = full(name);
    row.company = None;
    row.held = pair(refresh);
    let brought = Change {
        brought: true,
        ..change(&row, Revision(0))
    };
    match store.write(brought).await.unwrap() {
        Written::Done(_) => None,
        Written::Taken(taken) => Some(taken),
        Written::Conflict => panic!("{name} is there already"),
    }
}

pub(super) async fn a_token_that_is_brought_is_new_to_the_store(
    open: &impl AsyncFn(&str) -> Store,
) {
    let (store, others) = (open("p").await, open("q").await);
    assert_eq!(bring(&store, "met-new", "new").await, None);

    let mut holder = Tale::of(&store, "met-holder", "held").await;
    let held = Some(Taken::Token(tenant("met-holder")));
    assert_eq!(bring(&store, "met-second", "held").await, held);
    assert_eq!(bring(&others, "met-second", "held").await, None);
    holder.refresh(Some(LedgerOutcome::Ok), Some("next")).await;
    let (spent, held) = (Some(Taken::SpentToken), held);
    assert_eq!(bring(&store, "met-second", "held").await, spent);
    assert_eq!(bring(&store, "met-second", "next").await, held);

    // Never presented, and nobody's any more.
    holder.erase().await;
    assert_eq!(bring(&store, "met-second", "next").await, None);

    let unheard = [
        LedgerOutcome::NotSent,
        LedgerOutcome::RefusedForNow,
        LedgerOutcome::ClientRejected,
        LedgerOutcome::ResolvedNotApplied,
    ];
    for (number, outcome) in unheard.into_iter().enumerate() {
        let name = format!("met-unheard-{number}");
        let mut tale = Tale::of(&store, &name, &name).await;
        tale.refresh(Some(outcome), None).await;
        tale.erase().await;
        let new = format!("{name}-again");
        assert_eq!(bring(&store, &new, &name).await, None, "{outcome:?}");
    }
    for (number, outcome) in [None, Some(LedgerOutcome::Uncertain)]
        .into_iter()
        .enumerate()
    {
        let name = format!("met-open-{number}");
        let mut tale = Tale::of(&store, &name, &name).await;
        tale.refresh(Some(LedgerOutcome::NotSent), None).await;
        tale.refresh(outcome, None).await;
        tale.erase().await;
        assert_eq!(
            bring(&store, "met-third", &name).await,
            spent,
            "{outcome:?}"
        );
    }

    // Evidence said that it was not applied; then the answer came.
    let mut late = Tale::of(&store, "met-late", "late").await;
    let attempt = Some(AttemptId::make());
    late.write(late.line(attempt, Phase::Begun, None)).await;
    let unapplied = Some(LedgerOutcome::ResolvedNotApplied);
    late.write(late.line(attempt, Phase::Resolved, unapplied))
        .await;
    late.row.generation = Generation(late.row.generation.0 + 1);
    late.row.held = pair("late-next");
    let adopted = Some(LedgerOutcome::Adopted);
    late.write(late.line(attempt, Phase::Committed, adopted))
        .await;
    late.erase().await;
    assert_eq!(bring(&store, "met-third", "late").await, spent);

    // An answer without a refresh token keeps the old one.
    let mut keeper = Tale::of(&store, "met-keeper", "kept").await;
    keeper.refresh(Some(LedgerOutcome::Ok), Some("kept")).await;
    keeper.erase().await;
    assert_eq!(bring(&store, "met-fourth", "kept").await, None);
}

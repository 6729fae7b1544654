//! How far the search goes: which processes, which misfortunes and wishes, how many attempts.

use super::faults::{Budget, Fault, MISFORTUNES, WISHES};
use super::properties;
use super::search::{Seen, explore};
use super::world::{Start, WITHOUT_END};
use crate::model::connection::Verdict;
use crate::refresh::policy::Uncertain;

/// One exploration.
#[derive(Debug)]
struct Reach {
    name: &'static str,
    attempts: u8,
    kinds: &'static [&'static [Fault]],
    misfortunes: u8,
    wishes: u8,
    machines: &'static [&'static [usize]],
    /// For how many seconds the access token still lives: it dies before the first deadline, between that and the end
    /// of adoption, or after it.
    lives: &'static [u64],
    verdicts: &'static [Verdict],
    uncertain: Uncertain,
    dawdles: bool,
    /// No connection ends, whatever happens.
    costs_nothing: bool,
}

const BOTH: &[Verdict] = &[Verdict::Accepted, Verdict::Untried];
const KNOWN: &[Verdict] = &[Verdict::Accepted];
const TWO: &[&[usize]] = &[&[0, 0], &[0, 1]];
const ONE_EACH: &[&[usize]] = &[&[0, 1]];
const THREE: &[&[usize]] = &[&[0, 0, 0], &[0, 0, 1], &[0, 1, 2]];
const ALL_LIVES: &[u64] = &[10, 60, 170];

/// What a process, a store and a network do to a refresh, without people.
const TROUBLE: Reach = Reach {
    name: "trouble",
    attempts: 2,
    kinds: &[MISFORTUNES],
    misfortunes: 1,
    wishes: 0,
    machines: TWO,
    lives: ALL_LIVES,
    verdicts: BOTH,
    uncertain: Uncertain::Resolve,
    dawdles: false,
    costs_nothing: false,
};

/// Pleo answers nothing for as long as it likes, dials fail, requests vanish, and as many attempts as ever begin.
const OUTAGE: Reach = Reach {
    name: "an outage without end",
    attempts: WITHOUT_END,
    kinds: &[&[
        Fault::Silence,
        Fault::NotSent,
        Fault::LostRequest,
        Fault::TooMany,
    ]],
    machines: ONE_EACH,
    lives: &[10],
    verdicts: KNOWN,
    costs_nothing: true,
    ..TROUBLE
};

/// People: one of their wishes and one misfortune.
const PEOPLE: Reach = Reach {
    name: "people",
    kinds: &[MISFORTUNES, WISHES],
    wishes: 1,
    machines: ONE_EACH,
    lives: &[60],
    verdicts: KNOWN,
    ..TROUBLE
};

const PARKED: Reach = Reach {
    name: "parked",
    uncertain: Uncertain::Park,
    lives: &[10, 60],
    verdicts: KNOWN,
    ..TROUBLE
};

const CROWD: Reach = Reach {
    name: "three processes",
    machines: THREE,
    lives: &[60],
    verdicts: KNOWN,
    ..TROUBLE
};

/// A build for development looks everywhere near, an optimised one (`tests/run --long`) far.
const REACHES: &[Reach] = if cfg!(debug_assertions) {
    &[
        Reach {
            verdicts: KNOWN,
            ..TROUBLE
        },
        OUTAGE,
        Reach {
            attempts: 1,
            ..PEOPLE
        },
        Reach {
            machines: ONE_EACH,
            lives: &[10],
            ..PARKED
        },
        Reach {
            machines: &[&[0, 0, 1]],
            lives: &[10],
            ..CROWD
        },
    ]
} else {
    &[
        Reach {
            attempts: 3,
            ..TROUBLE
        },
        Reach {
            name: "twice the trouble",
            misfortunes: 2,
            ..TROUBLE
        },
        Reach {
            name: "slow processes",
            dawdles: true,
            lives: &[10, 60],
            ..TROUBLE
        },
        Reach {
            misfortunes: 2,
            lives: ALL_LIVES,
            verdicts: BOTH,
            ..OUTAGE
        },
        Reach {
            lives: ALL_LIVES,
            machines: TWO,
            ..PEOPLE
        },
        Reach {
            name: "two wishes",
            wishes: 2,
            misfortunes: 0,
            attempts: 3,
            ..PEOPLE
        },
        Reach {
            attempts: 3,
            ..PARKED
        },
        Reach {
            attempts: 3,
            lives: ALL_LIVES,
            verdicts: BOTH,
            ..CROWD
        },
    ]
};

/// Every way to begin.
fn starts(reach: &Reach) -> Vec<Start> {
    let budget = Budget::one_of_each(reach.kinds, reach.misfortunes, reach.wishes);
    let mut starts = Vec::new();
    for life_left in reach.lives {
        for verdict in reach.verdicts {
            for machines in reach.machines {
                starts.push(Start {
                    life_left: *life_left,
                    verdict: *verdict,
                    machines,
                    uncertain: reach.uncertain,
                    attempts: reach.attempts,
                    dawdles: reach.dawdles,
                    budget,
                });
            }
        }
    }
    starts
}

#[test]
fn every_promise_holds_in_every_world_that_can_be_reached() {
    for reach in REACHES {
        let [mut worlds, mut active, mut ended, mut disconnected] = [0; 4];
        let begun = std::time::Instant::now();
        for start in starts(reach) {
            let mut seen = Seen::default();
            if let Err(broken) = explore(start, &mut seen) {
                panic!("{}: {start:?}\n{broken}", reach.name);
            }
            worlds += seen.worlds.len();
            active += seen.active;
            ended += seen.ended;
            disconnected += seen.disconnected;
        }
        println!(
            "{} ({} attempts, {} misfortunes, {} wishes): {worlds} worlds, {active} ends in use, \
             {ended} ends that need a person, {disconnected} disconnected, {:?}",
            reach.name,
            reach.attempts,
            reach.misfortunes,
            reach.wishes,
            begun.elapsed()
        );
        assert!(active > 0, "a search that meets no good end");
        assert!(!reach.costs_nothing || ended == 0, "{}", properties::OUTAGE);
    }
}

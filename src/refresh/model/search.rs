//! The search: every world that can be reached, each once.

use std::collections::HashSet;

use super::deeds::Deed;
use super::faults::Budget;
use super::ghost::Fate;
use super::moves::{Move, Until};
use super::process::{Life, MAX_ATTEMPTS};
use super::time::Pace;
use super::world::{Start, World};
use crate::model::connection::{State, Verdict};

/// What a search has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    worlds: HashSet<u64>,
    /// Worlds in which nothing more happens by itself.
    ends: usize,
    /// Of these: with a usable pair, and ended.
    active: usize,
    ended: usize,
}

/// A world on the way, and the moves from it that were not made yet.
struct Frame {
    world: World,
    fingerprint: u64,
    made: Option<Move>,
    moves: Vec<Move>,
    /// True once something has led on from it that is no misfortune.
    goes_on: bool,
}

impl Frame {
    fn new(world: World, made: Option<Move>) -> Self {
        Self {
            fingerprint: world.fingerprint(),
            moves: world.moves(),
            goes_on: false,
            world,
            made,
        }
    }
}

/// Goes everywhere from here.
pub(super) fn explore(start: Start, seen: &mut Seen) -> Result<(), String> {
    let mut way = vec![Frame::new(World::new(start), None)];
    while let Some(top) = way.last_mut() {
        let Some(what) = top.moves.pop() else {
            let ended = if top.goes_on {
                Ok(())
            } else {
                end_well(&top.world, seen)
            };
            ended.map_err(|broken| told(&way, None, &broken))?;
            way.pop();
            continue;
        };
        let mut world = top.world.clone();
        if let Err(broken) = world.make(what) {
            return Err(told(&way, Some(what), &broken));
        }
        let next = Frame::new(world, Some(what));
        if next.fingerprint == top.fingerprint && asks_in_vain(what) {
            return Err(told(&way, Some(what), "it is asked for again and again"));
        }
        top.goes_on |= what.fault().is_none() && next.fingerprint != top.fingerprint;
        if seen.worlds.insert(next.fingerprint) {
            way.push(next);
        }
    }
    Ok(())
}

/// A deed that changes nothing would be done again at once, for ever; only a pair may wait for its turn.
fn asks_in_vain(what: Move) -> bool {
    matches!(what, Move::Do(_, deed) if deed != Deed::Commit)
}

fn told(way: &[Frame], last: Option<Move>, broken: &str) -> String {
    let steps: Vec<String> = way
        .iter()
        .filter_map(|frame| frame.made)
        .chain(last)
        .map(|step| format!("  {step:?}"))
        .collect();
    let from = way.last().map(|frame| &frame.world);
    format!("{broken}\n{}\nlast from {from:#?}", steps.join("\n"))
}

/// Nothing more happens by itself, but for attempts that the exploration does not begin: let it go on in a good world,
/// and see that it comes to an end that a person understands. As every way leads to such a world, there is a way out of
/// every one.
fn end_well(world: &World, seen: &mut Seen) -> Result<(), String> {
    seen.ends += 1;
    let mut world = world.clone();
    world.most_attempts = MAX_ATTEMPTS;
    if world.processes.iter().all(|p| p.life != Life::Awake) {
        world.make(Move::Crash(0)).ok();
        world.make(Move::Restart(0))?;
    }
    for _ in 0..300 {
        if has_ended(&world) {
            return how_it_ended(&world, seen);
        }
        go_on(&mut world)?;
    }
    Err(format!("it never ends: {:?}", world.row.state))
}

fn has_ended(world: &World) -> bool {
    let settled = match world.row.state {
        State::Active => world.row.generation.0 > 0,
        State::ReauthorizationRequired => true,
        _ => false,
    };
    let idle = (0..world.processes.len()).all(|p| world.good_deed(p).is_none());
    settled && idle && world.is_quiet()
}

fn how_it_ended(world: &World, seen: &mut Seen) -> Result<(), String> {
    let good = world.pleo.accepts(world.row.generation.0);
    match world.row.state {
        State::Active if good => seen.active += 1,
        State::Active if world.loss.is_none() => {
            return Err("active with a dead pair although no answer was lost".to_owned());
        }
        _ => seen.ended += 1,
    }
    Ok(())
}

fn go_on(world: &mut World) -> Result<(), String> {
    for p in 0..world.processes.len() {
        if let Some(deed) = world.good_deed(p) {
            return world.make(Move::Do(p, deed));
        }
    }
    let travelling = world
        .requests
        .iter()
        .position(|r| r.fate == Fate::Travelling);
    match travelling {
        Some(r) => world.make(Move::Arrive(r)),
        None if world.spans().is_empty() => Err("nothing happens any more".to_owned()),
        None => world.make(Move::Pass(Pace::All, Until::Next)),
    }
}

/// How far a search goes.
#[derive(Debug)]
struct Reach {
    most_attempts: usize,
    faults: u8,
    dawdles: bool,
    /// For how many seconds the access token still lives: it dies before the first deadline, between that and the end
    /// of adoption, or after it.
    lives: &'static [u64],
}

const fn reach(most_attempts: usize, faults: u8, lives: &'static [u64]) -> Reach {
    Reach {
        most_attempts,
        faults,
        dawdles: false,
        lives,
    }
}

/// A build for development looks everywhere near, an optimised one (`tests/run --long`) far.
const REACHES: &[Reach] = if cfg!(debug_assertions) {
    &[reach(2, 1, &[10, 60, 170]), reach(3, 1, &[10])]
} else {
    &[
        reach(3, 1, &[10, 60, 170]),
        reach(2, 2, &[10, 60, 170]),
        reach(3, 2, &[10]),
        Reach {
            dawdles: true,
            ..reach(2, 1, &[10, 60])
        },
    ]
};

/// Every way to begin.
fn starts(reach: &Reach) -> Vec<Start> {
    let mut starts = Vec::new();
    for life_left in reach.lives {
        for verdict in [Verdict::Accepted, Verdict::Untried] {
            for together in [true, false] {
                starts.push(Start {
                    life_left: *life_left,
                    verdict,
                    together,
                    most_attempts: reach.most_attempts,
                    dawdles: reach.dawdles,
                    budget: Budget::one_of_each(reach.faults),
                });
            }
        }
    }
    starts
}

#[test]
fn every_promise_holds_in_every_world_that_can_be_reached() {
    for reach in REACHES {
        let [mut worlds, mut ends, mut active, mut ended] = [0; 4];
        for start in starts(reach) {
            let mut seen = Seen::default();
            if let Err(broken) = explore(start, &mut seen) {
                panic!("{start:?}\n{broken}");
            }
            worlds += seen.worlds.len();
            ends += seen.ends;
            active += seen.active;
            ended += seen.ended;
        }
        println!("{reach:?}: {worlds} worlds, {ends} ends ({active} active, {ended} ended)");
        assert!(active > 0 && ended > 0, "a search that meets only one end");
    }
}

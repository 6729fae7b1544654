//! The search: every reachable world, each once; and from each a way to a good end.

use std::collections::HashSet;

use super::deeds::Deed;
use super::moves::{Move, Until};
use super::process::Life;
use super::properties::{ENDS, broken};
use super::time::Pace;
use super::world::{Start, WITHOUT_END, World};
use crate::model::connection::State;

/// What a search has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) worlds: HashSet<u64>,
    /// Worlds from which a good end is known to come.
    end_well: HashSet<u64>,
    /// Different ends that were met: with a usable pair, waiting for a person, disconnected.
    pub(super) active: usize,
    pub(super) ended: usize,
    pub(super) disconnected: usize,
}

/// A world on the way, and the moves from it that were not made yet.
struct Frame {
    world: World,
    fingerprint: u64,
    made: Option<Move>,
    moves: Vec<Move>,
}

impl Frame {
    fn new(world: World, made: Option<Move>) -> Self {
        Self {
            fingerprint: world.fingerprint(),
            moves: world.moves(),
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
        if seen.worlds.insert(next.fingerprint) {
            way.push(next);
            let last = way.last().map(|frame| frame.world.clone());
            let good = last.map_or(Ok(()), |world| end_well(world, seen));
            good.map_err(|broken| told(&way, None, &broken))?;
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

/// Nothing more goes wrong from here on, and as many attempts as are needed may begin: the world comes to an end that a
/// person understands. The way of one world soon joins that of another, so each is walked once.
fn end_well(mut world: World, seen: &mut Seen) -> Result<(), String> {
    world.attempts_left = WITHOUT_END;
    if world.processes.iter().all(|p| p.life != Life::Awake) {
        world.crash(0);
        world.happen(Move::Restart(0))?;
    }
    for _ in 0..400 {
        if !seen.end_well.insert(world.fingerprint()) {
            return Ok(());
        }
        if has_ended(&world) {
            return how_it_ended(&world, seen);
        }
        go_on(&mut world)?;
    }
    Err(broken(ENDS, world.row.state.as_str()))
}

fn has_ended(world: &World) -> bool {
    let settled = match world.row.state {
        State::Active => (world.row.epoch.0, world.row.generation.0) != (0, 0),
        State::ReauthorizationRequired | State::Disconnected => true,
        State::Pending | State::Refreshing | State::Uncertain => false,
    };
    let idle = (0..world.processes.len()).all(|p| world.good_move(p).is_none());
    settled && idle && world.row.candidate.is_none() && world.is_quiet()
}

fn how_it_ended(world: &World, seen: &mut Seen) -> Result<(), String> {
    let good = world.held().is_some_and(|token| world.pleo.accepts(token));
    match world.row.state {
        State::Active if good => seen.active += 1,
        State::Active if world.loss.is_none() => {
            return Err(broken(ENDS, "active with a dead pair, no answer was lost"));
        }
        State::Disconnected => seen.disconnected += 1,
        _ => seen.ended += 1,
    }
    Ok(())
}

fn go_on(world: &mut World) -> Result<(), String> {
    if world.silent {
        return world.make(Move::Speak);
    }
    let good = (0..world.processes.len()).find_map(|p| world.good_move(p));
    if let Some(good) = good {
        return world.make(good);
    }
    let travelling = world.requests.iter().position(|r| world.may_arrive(r));
    match travelling {
        Some(r) => world.make(Move::Arrive(r)),
        None if world.spans().is_empty() => Err(broken(ENDS, "nothing happens any more")),
        None => world.make(Move::Pass(Pace::All, Until::Next)),
    }
}

//! Faults of the machine around a refresh: the process dies or freezes, the disk fails, the clock is moved. The real
//! binary, the strict sandbox, and tools of the system (tests/setup). Faults of Pleo and of the network are elsewhere.

mod clock;
mod disk;
mod frozen;
mod halted;
mod kills;
mod startup;
mod struck;

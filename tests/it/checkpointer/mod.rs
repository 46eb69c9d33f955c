mod concurrency;
mod contract;
mod fidelity;
mod order;
mod removal;
mod replay;
mod round_trips;
mod step;

//! The command lines are sound.

use clap::CommandFactory as _;

use crate::{bench, demo, inspect, replay, soak, torture};

#[test]
fn the_arguments_are_well_defined() {
    bench::Args::command().debug_assert();
    demo::Args::command().debug_assert();
    inspect::Args::command().debug_assert();
    replay::Args::command().debug_assert();
    soak::Args::command().debug_assert();
    torture::Args::command().debug_assert();
}

//! The program `checkpointer`: looks into threads, and changes them, on the command line.

mod command;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::main()
}

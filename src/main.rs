//! Errors into exit codes, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    pushbell::cli::main(std::env::args_os()).into()
}

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(acceptance::ABOUT, acceptance::build, acceptance::commands::execute)
}
